"""The way of an upgrade: its plan and steps, the sync branch, and its pull request.

By hand or by the automation; how a conflict is decided is in `merge`.
"""
