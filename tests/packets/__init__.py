"""Tests of the packet codecs."""
