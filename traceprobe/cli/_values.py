"""What stands behind an option, made what the configuration takes.

Whether a value can be used is the configuration's business. Numbers are only turned into numbers here; what
is none is handed on as it is, so that the configuration refuses it in its own words.
"""

from __future__ import annotations

import re
from typing import Final

_CODE_POINTS: Final = {"EF": 46, "VA": 44, "LE": 1}
"""RFC 3246, RFC 5865 and RFC 8622; the others are reckoned (RFC 2474 section 4.2.2, RFC 2597 section 6)."""


def whole(text: str) -> int | str:
    """A whole number; anything else stays what it is, for the configuration to refuse."""
    try:
        return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else text
    except ValueError:  # thousands of digits
        return text


def decimal(text: str) -> float | str:
    """A number, infinite or none at all included; anything else stays what it is."""
    try:
        return float(text)
    except ValueError:
        return text


def is_negative(text: str) -> bool:
    """Whether something is a negative number rather than an option."""
    word = text[1:].lower()
    return text[:1] == "-" and (word[:1].isdigit() or word[:1] == "." or word in {"inf", "infinity", "nan"})


def numeral(text: str) -> int | str:
    """A whole number, decimal or with ``0x`` in front; anything else stays what it is."""
    return int(text, 16) if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", text) else whole(text)


def code_point(text: str) -> int | str:
    """A differentiated services code point by number or name: EF, CS6, AF41, VA, LE."""
    word = text.upper()
    if re.fullmatch(r"CS[0-7]", word):
        return int(word[2]) << 3
    if re.fullmatch(r"AF[1-4][1-3]", word):
        return int(word[2]) << 3 | int(word[3]) << 1
    return _CODE_POINTS.get(word, numeral(text))


def octet(text: str) -> int:
    """A whole byte."""
    value = numeral(text)
    if not isinstance(value, int) or not 0 <= value <= 0xFF:
        raise _refusal(f"{text[:20]!r}: must be a whole number from 0 to 255")
    return value


def digits(text: str) -> bytes:
    """Bytes in hexadecimal."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _refusal(f"{text[:20]!r}: must be pairs of hexadecimal digits, such as 00ff") from None


def _refusal(words: str) -> Exception:
    """What the parser, which has called for a value, tells in its own way."""
    import argparse

    return argparse.ArgumentTypeError(words)
