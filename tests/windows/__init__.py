"""Real traces on Windows: with ``pytest`` alone on Windows itself, and under Wine by ``tests/wine``.

Nothing in here measures time, and nothing depends on how fast it passes.
"""
