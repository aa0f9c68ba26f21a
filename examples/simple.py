"""Trace a path, wait for the end, look at the result.

``python examples/simple.py [TARGET]``
"""

from __future__ import annotations

from network import choose

import traceprobe

targets, network = choose()
result = traceprobe.trace(targets[0], socket_factory=network)

for hop in result:
    if hop.statistics is None:
        print(f"{hop.ttl:>2}  no answer")
    else:
        print(f"{hop.ttl:>2}  {hop.address}  {hop.statistics.avg * 1000:.3f} ms  loss {hop.loss:.0%}")
print(result)
