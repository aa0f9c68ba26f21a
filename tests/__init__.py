"""Tests of traceprobe, and the rigs they run in."""
