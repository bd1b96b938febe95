"""Conflicts: what they are, whose lines they are about, how they are decided and resolved.

Checking the result is done elsewhere, so that the two cannot share a mistake.
"""
