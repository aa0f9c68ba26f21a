"""A long run of many traces at once, held against what really happened: ``python -m tests.soak``."""
