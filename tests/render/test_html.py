"""HTML for notebooks: well-formed, accessible, and never a way in for a script."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given

from tests.model.samples import TYPICAL, hop, replied, result
from tests.model.strategies import results
from tests.render.samples import ALL, HOSTILE, SEND_ERRORS
from traceprobe.model import StopReason
from traceprobe.render.html import result_to_html

if TYPE_CHECKING:
    from traceprobe.model import TraceResult

VOID = {"br"}
ALLOWED = {"div", "style", "table", "caption", "br", "span", "thead", "tbody", "tr", "th", "td", "p"}
ATTRIBUTES = {"class", "role", "tabindex", "aria-label", "lang", "scope", "rowspan", "colspan"}


class Page(HTMLParser):
    """Checks the nesting and gathers the cells of each row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text: dict[str, str] = {}
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        where = self.open[-1] if self.open else ""
        self.text[where] = self.text.get(where, "") + data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def test_a_router_that_forwards_ttl_zero_is_not_a_second_hop() -> None:
    first = attrs.evolve(hop(1, replied("10.0.0.2", 1.0, quoted_ttl=0)), ttl_zero_forwarding=True)
    page = Page(result_to_html(result(first, hop(2, ("10.0.0.2", 2.0)), stop_reason=StopReason.MAX_TTL)))
    assert page.rows[1][:3] == ["1", "unknown", "1 of 1"]
    assert page.rows[1][-1].startswith("forwards what has no TTL left")
    assert page.rows[2][:2] == ["2", "10.0.0.2"]


def test_a_notebook_shows_the_table() -> None:
    html = TYPICAL._repr_html_()
    assert html == result_to_html(TYPICAL)
    page = Page(html)
    assert page.rows[1] == [
        "1", "gateway.home.example 192.168.1.1",
        "LAN: The address is for local use, and nothing public lies before it.",
        "3 of 3", "0.398", "0.410", "0.421", "",
    ]  # fmt: skip
    assert page.rows[3][:3] == ["3", "no answer", "0 of 3"]
    network, segment = page.rows[4][2].split("TRANSIT: ")
    assert (
        network == "AS64500 EXAMPLE-TRANSIT, NL, 198.51.100.0/24, at EXAMPLE-IX (AS64500), in Amsterdam, NL"
    )
    assert segment == "Its network is not known to be the provider's or the target's."
    assert page.rows[4][-1] == (
        "[MPLS: Lbl 16001 TC 0 S 0 TTL 1, Lbl 24005 TC 0 S 1 TTL 1], "
        "NAT to 192.0.2.77, DSCP 0 -> 46, look-up failed: inventory: "
        "the inventory did not answer, 1 of 3 lost"
    )
    assert [row[0] for row in page.rows[5:7]] == ["5", "edge2.transit.example 198.51.100.34"]
    assert page.rows[6][-1] == "1 late reply"


def test_it_is_accessible_and_follows_light_and_dark() -> None:
    html = result_to_html(TYPICAL)
    page = Page(html)
    headers = [attributes for tag, attributes in page.tags if tag == "th"]
    assert headers
    assert all(attributes["scope"] in {"col", "row"} for attributes in headers)
    assert page.text["caption"].startswith("Path to www.example.net (203.0.113.80)")
    (region,) = [attributes for tag, attributes in page.tags if tag == "div"]
    assert (region["role"], region["tabindex"]) == ("region", "0")
    assert "@media (prefers-color-scheme: dark)" in html
    # The page around it may be of the other kind: text never stands on a background that isn't ours.
    assert "background: var(--back); color: var(--text)" in html


def test_what_was_not_sent_is_said() -> None:
    html = result_to_html(SEND_ERRORS)
    assert "Warning: 7 of 9 probes not sent: ENETUNREACH (no route to that network)" in html
    assert html.count("not sent:") == 4


@pytest.mark.parametrize("name", ALL)
def test_every_row_fills_every_column(name: str) -> None:
    page = Page(result_to_html(ALL[name]))
    spans: list[int] = []
    covered = 0
    for tag, attributes in page.tags:
        if tag == "tr":
            spans.append(1 if covered else 0)
            covered = max(covered - 1, 0)
        if tag in {"td", "th"}:
            spans[-1] += int(attributes.get("colspan") or 1)
            covered = max(covered, int(attributes.get("rowspan") or 1) - 1)
    known = any(each.asn or each.segment for hop in ALL[name].hops for each in hop.responders)
    assert set(spans) == {8 if known else 7}


def test_a_column_of_networks_is_there_if_any_is_known() -> None:
    assert ">Network</th>" in result_to_html(ALL["typical"])
    assert ">Network</th>" not in result_to_html(SEND_ERRORS)


@given(results())
def test_no_text_becomes_a_tag(any_result: TraceResult) -> None:
    html = result_to_html(any_result)
    html.encode("utf-8")
    for tag, attributes in Page(html).tags:
        assert tag in ALLOWED
        assert set(attributes) <= ATTRIBUTES


def test_a_hostile_network_puts_nothing_in() -> None:
    html = result_to_html(HOSTILE)
    page = Page(html)
    assert {tag for tag, _ in page.tags} <= ALLOWED
    for forbidden in ("<script", "<img", "<svg", "<b>", "<i>", "<u>", "\x1b", "\u202e", "\u2028"):
        assert forbidden not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
