"""A GitHub that is played on local repositories, for the sandbox of a checkout and for the tests.

Not shipped: the wheel holds `carto_fork` alone.
"""
