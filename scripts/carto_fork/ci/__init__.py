"""The world around a run: GitHub Actions and Slack.

Neither decides anything; a message that fails never decides how a run ends.
"""
