"""How anything is run: processes, steps and their resumption, the lock, what people read.

Knows git and gh as programs, and nothing of forks, releases or merges.
"""
