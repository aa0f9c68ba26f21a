"""Makes text from the network safe to show: a host name is whatever its owner wanted it to be.

A terminal obeys escape sequences, reorders what stands between bidirectional controls and hides what
has no width; a name with blanks in it could pretend to be the next column, or the next line. What
could do so is replaced by ``?``, which every encoding has and which shows that something was there.
Every renderer passes every string through here, but for the JSON ones: they keep the data as it is,
and escape all that is not printable ASCII (see :func:`escape_del`).

This module knows text only.
"""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["clean_line", "clean_name", "clean_text", "escape_del"]

REPLACEMENT: Final = "?"

LONGEST_NAME: Final = 255
"""No host name is longer than a domain name can be (RFC 1035 section 2.3.4)."""

LONGEST_TEXT: Final = 120
"""What is cut off here is of no use in a line: the descriptions of networks may be of any length."""

_MOST_MARKS: Final = 2
"""Combining marks that may follow one another; more of them spill over the lines above and below."""

# Letters, marks and symbols that look like nothing, though ``str.isprintable`` takes them for printable:
# the default-ignorable code points (Unicode Standard Annex 44) outside the categories C and Z, the blank
# braille pattern, and the fillers of Hangul and Khmer.
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)


def clean_name(name: str) -> str:
    """A host name or another single word: no blanks either."""
    return _clean(name, LONGEST_NAME, keep_spaces=False)


def clean_text(text: str) -> str:
    """A phrase, such as the name of a network: blanks are kept, runs of them made one."""
    return _clean(" ".join(part for part in text.split(" ") if part), LONGEST_TEXT, keep_spaces=True)


def clean_line(text: str) -> str:
    """A line of our own making that may quote anything: as long as it is, blanks as they are."""
    return _clean(text, len(text) + 1, keep_spaces=True)


def escape_del(text: str) -> str:
    r"""Finish a JSON text whose writer escapes all but ASCII: ``DEL`` becomes ``\u007f``.

    JSON demands escapes of the other control characters only (RFC 8259 section 7).
    """
    return text.replace("\x7f", "\\u007f")


def _clean(text: str, longest: int, *, keep_spaces: bool) -> str:
    if not (text.isascii() and text.isprintable() and (keep_spaces or " " not in text)):
        text = _replaced(text[: 4 * longest], keep_spaces=keep_spaces)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _replaced(text: str, *, keep_spaces: bool) -> str:
    shown = []
    marks = 0
    # Canonical composition turns a letter and its accents into one character where there is one.
    for character in unicodedata.normalize("NFC", text):
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        if (
            not character.isprintable()
            or character in _INVISIBLE
            or marks > _MOST_MARKS
            or (character == " " and not keep_spaces)
        ):
            character = REPLACEMENT
        shown.append(character)
    return "".join(shown)
