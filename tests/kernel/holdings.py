"""What a process holds: to show that a trace gives everything back, whatever went wrong in it."""

from __future__ import annotations

import gc
import os
import struct
import threading
import tracemalloc
from typing import TypedDict

import anyio

from traceprobe.tracer import _tracer

SLACK = 16 << 10
"""Bytes that caches of the interpreter may grow by."""


class Holdings(TypedDict):
    """What can be counted."""

    descriptors: int
    tasks: int
    threads: int
    objects: int
    """Of classes of the package."""
    memory: int
    """Bytes of everything that Python has allocated since it is watched."""


def holdings() -> Holdings:
    """Count what the process holds; from inside an event loop."""
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    # What is kept on purpose: a few configurations, and the formats that the interpreter has read.
    _tracer._defaults_with.cache_clear()
    vars(struct)["_clearcache"]()
    gc.collect()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,
        "tasks": len(anyio.get_running_tasks()),
        "threads": threading.active_count(),
        "objects": sum(str(type(one).__module__).startswith("traceprobe") for one in gc.get_objects()),
        "memory": tracemalloc.get_traced_memory()[0],
    }


def check_given_back(before: Holdings, after: Holdings) -> None:
    """Compare; memory may differ by a little."""
    for name in ("descriptors", "tasks", "threads", "objects"):
        assert after[name] == before[name], (name, before, after)
    assert after["memory"] - before["memory"] < SLACK, (before, after)
