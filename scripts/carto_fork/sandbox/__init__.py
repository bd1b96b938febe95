"""A small upstream and its fork to practise on, built from nothing.

No pull requests: the GitHub that is played for a sandbox is `carto_standin`, in a checkout.
"""
