"""Measurements of traceprobe beside its peers, on a real kernel: ``python -m benchmarks`` as root.

Everything is measured on paths that are known beforehand: chains of namespaces, in which the kernel
forwards, and the simulated internet of the test rigs, whose log says when each probe came and each reply
left. What a program says about itself is shown beside that, not believed. ``pytest benchmarks`` is the
short form, with guards that hold on any machine; ``python -m benchmarks.profile`` shows where time goes.
"""
