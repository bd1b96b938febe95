"""An upgrade, by hand or by the automation: its plan and steps, sync branch and pull request.

`merge` decides the conflicts.
"""
