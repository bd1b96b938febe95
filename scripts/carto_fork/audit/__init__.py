"""What became of every change of both sides, and whether the result is sound.

It judges merges that anybody made, in any way; it decides nothing.
"""
