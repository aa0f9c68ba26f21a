"""Runs functions in a namespace: ``python -m tests.rigs.worker DESCRIPTOR``; the other half is ``remote``.

Orders come as lines of JSON on the standard input, answers go as lines of JSON to the inherited
descriptor. Each order is carried out by a fork, so that it finds a fresh process; but what it imports has
been imported already, which is most of what starting a process takes.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
import traceback
from typing import Any

_BACKENDS = {
    "asyncio": ("anyio._backends._asyncio",),
    "uvloop": ("anyio._backends._asyncio", "uvloop"),
    "trio": ("anyio._backends._trio", "trio"),
}
"""What an event loop has imported before the fork."""


def run_order(order: dict[str, Any]) -> Any:
    """Call the function that an order names, on an event loop if it is a coroutine function."""
    function: Any = importlib.import_module(order["module"])
    for part in order["function"].split("."):
        function = getattr(function, part)
    if not inspect.iscoroutinefunction(function):
        return function(*order["arguments"])

    import anyio

    backend = order["backend"] or "asyncio"
    if backend == "uvloop":
        options = {"use_uvloop": True}
        return anyio.run(function, *order["arguments"], backend="asyncio", backend_options=options)
    return anyio.run(function, *order["arguments"], backend=backend)


def answer_to(order: dict[str, Any]) -> str:
    """Carry an order out, and write down what came of it."""
    try:
        return json.dumps({"result": run_order(order)})
    except BaseException:
        return json.dumps({"error": traceback.format_exc()})


def main() -> int:
    """Carry out orders until there are no more."""
    answers = open(int(sys.argv[1]), "w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process
    for line in sys.stdin:
        order = json.loads(line)
        try:
            importlib.import_module(order["module"])
            for name in _BACKENDS.get(order["backend"], ()):
                importlib.import_module(name)
        except ImportError:
            print(json.dumps({"error": traceback.format_exc()}), file=answers, flush=True)
            continue
        child = os.fork()
        if child == 0:
            print(answer_to(order), file=answers, flush=True)
            return 0
        _, status = os.waitpid(child, 0)
        if status != 0:
            text = f"the process ended with wait status {status}"
            print(json.dumps({"error": text}), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
