"""Conflicts: what they are, whose lines they are about, what is decided, and doing it.

How the result is checked afterwards is not for here: the two must not share a mistake.
"""
