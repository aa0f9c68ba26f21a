"""What a name service answers when it is asked for texts.

Only networks are told by texts, so that this is imported when somebody asks for one.
"""

from __future__ import annotations

from traceprobe._frozen import frozen


@frozen
class TextAnswer:
    """The TXT records of a name (RFC 1035 section 3.3.14)."""

    strings: tuple[bytes, ...]
    """One for each record, the parts of a record joined; empty if there are none, or no such name."""
    ttl: float
    """For how many seconds this may be remembered."""
