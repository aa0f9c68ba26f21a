"""The JSON Schemas (draft 2020-12) of what traceprobe writes, shipped with the package.

``trace-v1.schema.json`` describes the document of ``--json`` and ``TraceResult.to_dict()``,
``event-v1.schema.json`` one line of ``--ndjson``. :mod:`importlib.resources` finds both.
"""

from __future__ import annotations

__all__ = ["event_schema", "trace_schema"]


def trace_schema() -> dict[str, object]:
    """The schema of a result."""
    return _load("trace-v1.schema.json")


def event_schema() -> dict[str, object]:
    """The schema of one event; it refers to :func:`trace_schema` by its ``$id``."""
    return _load("event-v1.schema.json")


def _load(name: str) -> dict[str, object]:
    import json
    from importlib.resources import files

    schema: dict[str, object] = json.loads(
        files("traceprobe.schema").joinpath(name).read_text(encoding="utf-8")
    )
    return schema
