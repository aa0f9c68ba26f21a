"""The version, in one place: read by the build, the API, the command line and the JSON documents."""

__version__ = "0.1.0"
