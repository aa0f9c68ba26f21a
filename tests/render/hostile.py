"""Names that mean harm, and what harm would look like on a page."""

from __future__ import annotations

import pytest

from tests.render.test_sanitize import HOSTILE

NAMES = HOSTILE | {
    "a tag": "<script>alert(1)</script>",
    "an attribute": "\" onmouseover=alert(1) x='",
    "an entity": "&#x3c;img src=x onerror=alert(1)&#x3e;",
    "the end of a comment": "--><svg/onload=alert(1)>",
    "a formula": "=HYPERLINK(1)",
    "a formula behind a sign": "+1+cmd|' /C calc'!A0",
    "a formula behind a blank": "\t@SUM(1)",
    "a wide equals sign": "\uff1dSUM(1)",
    "quotes and commas": '","=1+1","',
    "markup of rich": "[bold red]:boom:[/] [link=https://example.com]x[/link]",
    "a label of 255 bytes": "a" * 255 + "." + "b" * 255,
    "marks piled up": "e" + "\u0301" * 200,
    "homoglyphs": "g\u0430teway.ex\u0430mple",
    "format string": "%s%n{0}{target}",
}


every_name = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)


def printable(page: str) -> bool:
    """Whether no terminal obeys a page."""
    return all(line.isprintable() for line in page.split("\n"))


def harmless(page: str) -> bool:
    """Whether nothing of it spills over other lines either."""
    return printable(page) and "\u0301\u0301\u0301" not in page
