"""Rigs for the kernel path: namespaces that hold a small network each, with no link to the machine's own.

``chain`` builds routers out of namespaces and veth pairs, ``tun`` a simulated internet behind a TUN
device, ``unprivileged`` an interpreter that anybody may run. Nothing in here imports the tracer: what the
rigs promise is proven with plain sockets, so that a bug in traceprobe can't hide in its own test bench.
"""
