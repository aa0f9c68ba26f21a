"""What the modes of the BSDs and of macOS share: a table of behaviour, and code that takes it as a parameter.

Nothing here asks which system it runs on: the system and its kernel are arguments, so that all of it runs
anywhere against a kernel that somebody else plays.
"""
