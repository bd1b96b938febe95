"""What is wrong with a fork, and what to type next.

Repairs only what no work can be lost by; everything else it names.
"""
