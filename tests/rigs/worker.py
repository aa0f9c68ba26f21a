"""Runs one function in a namespace: ``python -m tests.rigs.worker DESCRIPTOR``.

The other half is ``Namespace.call``. The order comes as JSON on the standard input; the answer, JSON too,
is written to the inherited descriptor.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import traceback
from typing import Any


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
        return anyio.run(
            function, *order["arguments"], backend="asyncio", backend_options={"use_uvloop": True}
        )
    return anyio.run(function, *order["arguments"], backend=backend)


def main() -> int:
    """Read an order, carry it out, and write the answer."""
    descriptor = int(sys.argv[1])
    answer: dict[str, Any]
    try:
        answer = {"result": run_order(json.load(sys.stdin))}
        text = json.dumps(answer)
    except BaseException:
        text = json.dumps({"error": traceback.format_exc()})
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return int("error" in json.loads(text))


if __name__ == "__main__":
    sys.exit(main())
