"""Probe sockets: the codec without a kernel, and the real sockets over loopback."""
