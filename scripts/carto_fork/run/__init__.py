"""How anything is run: processes, steps and how they resume, the lock, console output.

Knows git and gh as programs and nothing about forks, releases or merges.
"""
