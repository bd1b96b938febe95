"""What is wrong with a fork, and what to type next.

It applies only fixes that cannot lose work, and names all others.
"""
