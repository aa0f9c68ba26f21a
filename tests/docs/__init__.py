"""The documentation is run and compared with what it documents."""
