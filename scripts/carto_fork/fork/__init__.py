"""A fork as it is: policy, remotes, branches, tags, version files and its own records.

Reads and names things; `merge` handles what a merge changes.
"""
