"""A fork as it is: its policy, remotes, branches, tags, version files and own records.

Reads and names; what a merge makes of it is next door, in `merge`.
"""
