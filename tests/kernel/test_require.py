"""What the machine lacks is skipped with a reason, and is a failure where it was said to be there."""

from __future__ import annotations

import pytest

from tests.rigs.require import missing_module, missing_program, require


def test_what_is_there_needs_no_mention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPROBE_REQUIRE", "tun")
    require("tun", None)


@pytest.mark.parametrize("required", ["", "netns", "netns,cc"])
def test_what_is_missing_is_skipped(monkeypatch: pytest.MonkeyPatch, required: str) -> None:
    monkeypatch.setenv("TRACEPROBE_REQUIRE", required)
    with pytest.raises(pytest.skip.Exception, match="needs tun: there is none"):
        require("tun", "there is none")


@pytest.mark.parametrize("required", ["tun", "netns, tun", "cc,tun,"])
def test_what_must_not_be_missing_fails(monkeypatch: pytest.MonkeyPatch, required: str) -> None:
    monkeypatch.setenv("TRACEPROBE_REQUIRE", required)
    with pytest.raises(pytest.fail.Exception, match="tun is required here, but there is none"):
        require("tun", "there is none")


def test_a_misspelt_capability_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="unknown capability 'tunnel'"):
        require("tunnel", None)
    monkeypatch.setenv("TRACEPROBE_REQUIRE", "tunnel")
    with pytest.raises(ValueError, match="unknown capabilities: tunnel"):
        require("tun", "there is none")


def test_reasons_name_what_is_missing() -> None:
    assert missing_program("sh") is None
    assert missing_module("json") is None
    assert "no-such-program" in str(missing_program("sh", "no-such-program"))
    assert "no_such_module" in str(missing_module("no_such_module"))
