"""Names that mean harm, end to end: from whoever says them to what a terminal, a log or a file gets."""

from __future__ import annotations

import logging
import pickle
import sys
import traceback
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import traceprobe
from tests.enrich.files import write_database
from tests.enrich.stun_server import ERROR, message, stun_server
from tests.model.samples import TYPICAL
from tests.render.hostile import NAMES, every_name, harmless, printable
from tests.rigs.dns_server import DnsServer
from tests.terminal import Terminal
from tests.tracer.fakes import HeldNetwork, path_over
from traceprobe import (
    EnrichmentConfig,
    ModeReport,
    Tracer,
    TraceResult,
    errors,
)
from traceprobe.cli import main
from traceprobe.cli._parser import _parser
from traceprobe.render.csv import result_to_csv
from traceprobe.render.html import result_to_html
from traceprobe.render.text import result_to_text
from traceprobe.testing import SimulatedNetwork

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


ROUTERS = {f"11.0.{number}.1": name for number, name in enumerate(NAMES.values(), 1)}
"""Each router has one of the names. Their networks belong to somebody, so that they are looked up."""
TARGET = "11.0.200.9"
HOPS = [*ROUTERS, TARGET]
ORIGINS = ("origin.asn.cymru.com", "asn.cymru.com")
"""Where networks are asked for, and where who runs them: both by default."""
LONGEST_LABEL = 63


def forms() -> list[list[str]]:
    """The ways to print a trace that the command line offers."""
    offered = _parser("trace")._option_string_actions
    named = ("-v", "--json", "--ndjson", "--csv", "--report", "--report-wide")
    return [[], *([name] for name in named if name in offered)]


every_form = pytest.mark.parametrize("form", forms(), ids=lambda form: "".join(form) or "text")


def wire(name: str, longest: int) -> str:
    """The bytes of a name, each as a master file writes it, so that they get onto the wire as they are."""
    return "".join(f"\\{byte:03}" for byte in name.encode("utf-8", "surrogatepass")[:longest])


def network() -> HeldNetwork:
    """A path over all these routers, which only this process knows of."""
    held = HeldNetwork()
    held.prepare = path_over(HOPS)
    return held


def hostile_server(server: DnsServer) -> DnsServer:
    """Teach a name server that every router bears its name, and so do its network and whoever runs it."""
    origin, names = ORIGINS
    for number, (address, name) in enumerate(ROUTERS.items(), 1):
        server.pointer(address, wire(name, LONGEST_LABEL) + ".example.")
        reverse = ".".join(reversed(address.split(".")))
        country = wire(name, 60).replace("|", "")
        server.text(f"{reverse}.{origin}", f"{number} | 11.0.{number}.0/24 | {country} | {country} | x")
        server.text(f"AS{number}.{names}", f"{number} | US | arin | x | {wire(name, 120)}")
    return server


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Let the program trace in another network; look-ups are those of the command line."""
    real = traceprobe.open_trace

    def use(wanted: Any) -> None:
        def open_trace(target: str, **options: Any) -> traceprobe.Trace:
            return real(target, **(options | {"socket_factory": wanted, "max_ttl": 64}))

        monkeypatch.setattr(traceprobe, "open_trace", open_trace)

    return use


# --- name servers, databases, STUN servers ---------------------------------------------------------------


async def test_answers_of_name_servers_through_every_renderer() -> None:
    with DnsServer() as server:
        address = hostile_server(server).address
        lookups = EnrichmentConfig(reverse_dns=True, asn=True, dns_servers=(address,))
        async with Tracer(enrichment=lookups, socket_factory=network(), max_ttl=64) as tracer:
            result = await tracer.trace(TARGET, dns_timeout=30.0, enrichment_timeout=30.0)
    known = [hop for hop in result if hop.asn is not None and hop.asn.name is not None]
    assert len(known) > 30, "the names got as far as the result"
    _check_all(result)


def _check_all(result: TraceResult) -> None:
    plain = result_to_text(result)
    assert harmless(plain)
    assert harmless(result_to_html(result))
    assert harmless(result_to_csv(result))
    assert str(result).isprintable()
    assert all(str(hop).isprintable() and repr(hop).isprintable() for hop in result)
    assert result.to_json().isascii()
    assert TraceResult.from_json(result.to_json()) == result


@every_form
def test_answers_of_name_servers_on_the_terminal(
    form: list[str], use: Callable[[Any], None], capfd: pytest.CaptureFixture[str]
) -> None:
    use(network())
    with DnsServer() as server:
        status = main([TARGET, "--resolver", hostile_server(server).address, *form])
        assert len(server.asked) > len(ROUTERS)
    output = capfd.readouterr()
    assert (status, output.err) == (0, "")
    assert harmless(output.out)
    if not form:
        shown = [line for line in output.out.splitlines() if "11.0." in line and "  ms  " in line]
        assert len(shown) == len(HOPS), "no name made a line of its own"


@pytest.mark.parametrize("width", [60, 100, 300])
def test_answers_of_name_servers_on_a_live_terminal(
    width: int, use: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(network())
    environment = {"TERM": "xterm-256color", "NO_COLOR": "", "COLUMNS": str(width), "LINES": "60"}
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    terminal = Terminal(width)  # which knows the few sequences of the view, and fails with any other
    with DnsServer() as server, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert main([TARGET, "--resolver", hostile_server(server).address]) == 0
        assert len(server.asked) > len(ROUTERS)
    assert terminal.coloured
    assert all(harmless(row) for frame in terminal.frames for row in frame)


@every_form
def test_organisations_in_a_database_on_the_terminal(
    form: list[str], use: Callable[[Any], None], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    records: dict[str, dict[str, object]] = {
        address.removesuffix("1") + "0/24": {
            "autonomous_system_number": 64500 + number,
            "autonomous_system_organization": name.encode("utf-8", "replace").decode("utf-8"),
        }
        for number, (address, name) in enumerate(ROUTERS.items())
    }
    database = write_database(tmp_path / "asn.mmdb", records)
    use(SimulatedNetwork.path(TARGET, HOPS))
    status = main([TARGET, "-n", "--asn-db", str(database), *form])
    output = capfd.readouterr()
    assert (status, output.err) == (0, "")
    assert harmless(output.out)
    if form in ([], ["-v"]):
        assert "[AS64500 " in output.out or "AS64500 " in output.out


@pytest.mark.skipif(sys.platform != "linux", reason="probes by UDP without privileges, on Linux")
async def test_reasons_of_stun_servers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="traceprobe")
    for name in NAMES.values():
        reason = b"\0\0\x04\0" + name[:LONGEST_LABEL].encode("utf-8", "replace")

        def refuse(transaction: bytes, number: int, reason: bytes = reason) -> list[bytes]:
            return [message(ERROR, transaction, (0x0009, reason))]

        async with stun_server(refuse) as server:
            lookups = EnrichmentConfig(public_address=True, stun_servers=(server.name,))
            async with Tracer(enrichment=lookups, mode="linux_udp") as tracer:
                # Not the server's own address: probes go to ports that may well be its.
                result = await tracer.trace("127.0.0.2", enrichment_timeout=30.0)
        (failure,) = result.enrichment_errors
        assert "the server refused: 400" in failure.reason
        assert failure.reason.isprintable()
        _check_all(result)
    assert len(caplog.messages) == len(NAMES)
    assert all(line.isprintable() for line in caplog.messages)


# --- what is typed, and what errors say of it ------------------------------------------------------------


@every_name
@pytest.mark.parametrize(
    "words",
    [
        ["{}"],
        ["-s", "{}"],
        ["-i", "{}"],
        ["--mode", "{}"],
        ["-p", "{}"],
        ["--flow", "{}"],
        ["--resolver", "{}"],
        ["--own-address", "{}"],
        ["--asn-db", "{}"],
        ["--ixp-db", "{}"],
        ["--payload-pattern", "{}"],
        ["--{}"],
        ["-{}"],
        ["192.0.2.9", "{}"],
    ],
    ids=" ".join,
)
def test_the_command_line_quotes_nothing_that_a_terminal_obeys(
    words: list[str], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    status = main(["demo", *(word.format(name) for word in words)])
    output = capfd.readouterr()
    assert harmless(output.out)
    assert harmless(output.err)
    assert status in {0, 2, 4, 5}
    assert output.err or status == 0


RAISED: dict[str, Callable[[str], Exception]] = {
    "ConfigError": lambda name: errors.ConfigError(name, name, "a thing"),
    "FamilyMismatchError": lambda name: errors.FamilyMismatchError("target", [name], "another"),
    "UnsupportedOption": lambda name: errors.UnsupportedOption("mode", name, mode=None, remedy="none"),
    "NameResolutionError": lambda name: errors.NameResolutionError(name, name),
    "ResolverError": lambda name: errors.ResolverError(name, name),
    "DataFileError": lambda name: errors.DataFileError(name, name),
    "NoUsableSocketError": lambda name: errors.NoUsableSocketError(name, reasons=[name], remedies=[name]),
    "PrivilegeError": lambda name: errors.PrivilegeError(name, reasons=[name], remedies=[name]),
    "SendError": lambda name: errors.SendError(1, name),
    "PacketError": lambda name: errors.PacketError(name),
}


@every_name
@pytest.mark.parametrize("kind", RAISED)
def test_the_text_of_an_error_is_harmless(kind: str, name: str) -> None:
    error = RAISED[kind](name)
    assert printable(str(error))
    assert repr(error).isprintable()
    assert printable("".join(traceback.format_exception_only(error)))
    if "\ud800" not in name:
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


@every_name
def test_the_doctor_shows_no_reason_or_remedy_that_means_harm(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    statuses = [
        traceprobe.ModeStatus(
            mode, traceprobe.Protocol.ICMP, family, mode is traceprobe.Mode.LINUX_UDP, name, (name,)
        )
        for mode in (traceprobe.Mode.LINUX_RAW, traceprobe.Mode.LINUX_UDP)
        for family in traceprobe.AddressFamily
    ]
    report = ModeReport(tuple(statuses))
    monkeypatch.setattr(traceprobe.ProbeSocketFactory, "report", lambda *_: report)
    for form in ([], ["--json"]):
        main(["doctor", *form])
        output = capfd.readouterr()
        assert harmless(output.out)
        assert output.err == ""


# --- addresses -------------------------------------------------------------------------------------------


@every_name
def test_the_zone_of_an_address_in_a_document(name: str) -> None:
    zone = name.replace("%", "").replace("/", "").replace("\ud800", "")  # which no address can have
    address = f"fe80::1%{zone}"
    document: Any = TYPICAL.to_dict()
    document["address"] = address
    for hop in document["hops"]:
        for probe in hop["probes"]:
            if probe["address"] is not None:
                probe["address"] = address
    _check_all(TraceResult.from_dict(document))


def test_the_target_of_a_document_is_shown_as_a_word() -> None:
    for name in NAMES.values():
        assert printable(str(attrs.evolve(TYPICAL, target=name)))
