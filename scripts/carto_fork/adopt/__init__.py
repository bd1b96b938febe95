"""The files that a fork gets: its policy, the workflows, the guide, the hook.

This package examines a fork that is not set up yet; `health` examines one that is.
"""
