"""A result as the JSON document of :mod:`traceprobe.schema`, for programs.

The data stays as it is, names included; the text is printable ASCII throughout, so that a terminal
shows it and does nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprobe.render.sanitize import escape_del

if TYPE_CHECKING:
    from traceprobe.model import TraceResult

__all__ = ["result_to_json"]


def result_to_json(result: TraceResult) -> str:
    """One document, indented, with a line break at its end."""
    return escape_del(result.to_json(indent=2)) + "\n"
