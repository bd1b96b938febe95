"""What a fork is given: its policy, the workflows, the guide, the hook.

What it finds out about an unknown fork is only for that; `health` looks at one that is set up.
"""
