"""Traceroutes beside each other on an internet that forges: ``python -m tests.hostile`` makes the table."""
