"""The table of what each way of probing can do is that of the code, and what sockets say of themselves."""

from __future__ import annotations

import sys

import pytest

from tests.docs import modes_table
from traceprobe.config import AddressFamily
from traceprobe.errors import NoUsableSocketError
from traceprobe.loops import SystemClock
from traceprobe.sockets._catalogue import CATALOGUE, OPTIONS, facts_of
from traceprobe.sockets._platform import platform_modes


def test_the_page_is_up_to_date() -> None:
    text = modes_table.PAGE.read_text(encoding="utf-8")
    assert modes_table.with_tables(text) == text, "run python -m tests.docs.modes_table"


def test_each_way_of_probing_is_there_once() -> None:
    keys = [(facts.mode, facts.protocol) for facts in CATALOGUE]
    assert len(set(keys)) == len(keys)
    for entry in platform_modes():
        assert facts_of(entry.mode, entry.protocol).mode is entry.mode


def test_only_known_options_are_named() -> None:
    for facts in CATALOGUE:
        assert facts.options <= set(OPTIONS)
        assert facts.flows


@pytest.mark.skipif(sys.platform != "linux", reason="sockets of Linux")
@pytest.mark.parametrize("entry", platform_modes(), ids=lambda entry: f"{entry.mode}-{entry.protocol}")
@pytest.mark.parametrize("family", list(AddressFamily))
def test_sockets_say_the_same(entry: object, family: AddressFamily) -> None:
    from traceprobe.config import TracerouteConfig
    from traceprobe.sockets._platform import ModeEntry

    assert isinstance(entry, ModeEntry)
    facts = facts_of(entry.mode, entry.protocol)
    try:
        opened = entry.open(TracerouteConfig(), family, entry.protocol, SystemClock())
    except NoUsableSocketError as error:
        pytest.skip(str(error).partition("\n")[0])
    has = opened.capabilities
    opened.close_now()
    assert has.flow is facts.flows[0]
    assert has.flows == set(facts.flows)
    assert has.descriptors == facts.descriptors
    assert has.sees_changes == facts.changes_seen(family)
    seen = (has.sees_extensions, has.sees_quoted_ttl, has.sees_reply_ttl)
    assert seen == (facts.sees_extensions, facts.sees_quoted_ttl, facts.sees_reply_ttl)
