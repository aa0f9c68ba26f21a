"""Rigs for the kernel path: namespaces that hold a small network each, with no link to the machine's own.

``chain`` and ``diamond`` build routers out of namespaces and veth pairs, ``slow_link`` a link that takes its
time, ``tun`` a simulated internet behind a TUN device, ``flood`` somebody who pours packets into it;
``dns_server`` and ``listener`` answer, ``capture`` and ``tshark`` look on. ``unprivileged`` is an interpreter
that anybody may run, ``require`` says what a machine has. Nothing in here imports the tracer: what the
rigs promise is proven with plain sockets, so that a bug in traceprobe can't hide in its own test bench.
"""
