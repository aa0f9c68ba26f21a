"""The ways of probing of the BSDs and macOS: ``raw``, ``darwin``, and a table of behaviour they are told.

Nothing here asks which system it runs on: the system and its kernel are arguments, so that all of it runs
anywhere against a kernel that somebody else plays.
"""
