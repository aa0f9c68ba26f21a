"""The Linux kernel's four ways of probing, and what they share.

``raw``, ``ping``, ``udp`` and ``tcp`` are the modes. The modules with an underscore are their common parts:
opening and options, sending and receiving in batches, control messages, the error queue, socket filters.
"""
