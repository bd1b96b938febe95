"""What happened to every change of both sides in a merge, and whether the result is sound.

It judges merges that anybody made, in any way, and decides nothing.
"""
