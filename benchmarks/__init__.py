"""Measurements of traceprobe on a real kernel: ``python -m benchmarks`` as root.

Everything is measured against the simulated internet of the test rigs, whose log says when each probe
came and each reply left; what traceprobe says about itself is shown beside it, not believed.
"""
