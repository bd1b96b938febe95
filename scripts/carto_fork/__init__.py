"""Invoke tasks that keep a long-lived fork on the stable releases of its upstream."""
