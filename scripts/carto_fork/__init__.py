"""Invoke tasks that keep a long-lived fork on the stable releases of its upstream."""

__version__ = "0.1.0"
