"""A small upstream and its fork to practise on, built from nothing.

For pull requests, `carto_standin` simulates GitHub; only a checkout of this project has it.
"""
