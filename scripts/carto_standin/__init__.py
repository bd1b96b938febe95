"""A fake GitHub on local repositories, for the sandbox of a checkout and for the tests.

Not shipped: the wheel contains only `carto_fork`.
"""
