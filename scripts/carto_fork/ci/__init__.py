"""What surrounds a run: GitHub Actions and Slack.

Neither decides anything, and a message that fails never changes how a run ends.
"""
