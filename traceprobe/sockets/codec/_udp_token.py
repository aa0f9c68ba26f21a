"""UDP probes whose payload alone tells them apart: a constant flow where the kernel writes the header.

A socket without privileges neither chooses the checksum nor sees it in a quote. So the first word of the
payload is the identifier, and the token vouches for it. Some routers quote nothing behind the UDP header
(RFC 792 asks for no more): then only destination and ports are known, which all probes of a flow share.
Such an answer counts where one probe alone can be meant, because no other one waits; else it is ambiguous.
Networks bring answers twice: who has answered a probe with nothing quoted is not believed to answer one that
was to go further, or less far.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, ClassVar, Final

from traceprobe.config import FlowStrategy
from traceprobe.sockets.codec._refusal import Refusal
from traceprobe.sockets.codec._template import BALANCE_SIZE, TRANSPORT_HEADER, Template
from traceprobe.sockets.codec._udp import DEFAULT_UDP_PORT, UdpCodec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from random import Random

    from traceprobe.config import AddressFamily
    from traceprobe.model import Probe, ProbeId

_NS: Final = 1_000_000_000
_WORD: Final = Struct("!H")
_HEADER: Final = Struct("!HHHH")


class TokenUdpCodec(UdpCodec):
    """UDP datagrams of a constant flow, told apart by their payload; arguments as for ``UdpCodec``."""

    flows: ClassVar[frozenset[FlowStrategy]] = frozenset({FlowStrategy.PARIS, FlowStrategy.DUBLIN})

    def __init__(
        self,
        family: AddressFamily,
        flow: FlowStrategy,
        *,
        source_port: int,
        quarantine_ns: int,
        default_port: int = DEFAULT_UDP_PORT,
        random: Random | None = None,
        secret: bytes | None = None,
        payload_pattern: bytes | None = None,
        labelled: bool = False,
        flow_label: int | None = None,
    ) -> None:
        super().__init__(
            family,
            flow,
            source_port=source_port,
            quarantine_ns=quarantine_ns,
            default_port=default_port,
            random=random,
            secret=secret,
            payload_pattern=payload_pattern,
            labelled=labelled,
            flow_label=flow_label,
        )
        # Destination and port -> identifiers that an empty quote can mean -> until when they are awaited.
        self._candidates: dict[tuple[int, int], dict[int, int]] = {}
        # Destination, port and sender -> the identifier that an empty quote from there was last taken for;
        # and the other way round.
        self._answerers: dict[tuple[int, int, int], int] = {}
        self._answered_by: dict[int, tuple[int, int, int]] = {}

    def encode_batch(
        self,
        probes: Sequence[Probe],
        source: IPv4Address | IPv6Address | None,
        now_ns: int,
        *,
        alike: bool = False,
    ) -> list[bytes]:
        """Give probes identifiers and make their segments; see :meth:`ProbeCodec.encode_batch`."""
        segments = super().encode_batch(probes, source, now_ns, alike=alike)
        for probe in probes:
            identifier = self._identifiers[probe.id]
            template = self._probes[identifier][1]
            waits_ns = round(probe.timeout * _NS) or self._quarantine_ns
            place = (template.address, template.port)
            self._candidates.setdefault(place, {})[identifier] = now_ns + waits_ns
        return segments

    def release(self, probes: Iterable[ProbeId], now_ns: int) -> None:
        """Give probes up; an empty quote can still mean one of them as long as it was awaited."""
        super().release(probes, now_ns)
        for place in list(self._candidates):
            self._awaited(place, now_ns)

    def withdraw(self, probes: Iterable[ProbeId]) -> None:
        """Take back probes that never left the machine."""
        gone = [probe for probe in probes if probe in self._identifiers]
        for probe in gone:
            self._was_answered(probe)
        super().withdraw(gone)

    def resolve_quoted_payload(
        self,
        destination: IPv4Address | IPv6Address,
        port: int,
        payload: memoryview,
        sender: IPv4Address | IPv6Address,
        now_ns: int,
    ) -> ProbeId | Refusal:
        """Find the probe by where it went and what is quoted behind its UDP header.

        An empty quote, or one that was filled up with zeros (RFC 4884 section 3), stands for the only
        probe of its flow that still waits for an answer, if there is just one.

        Args:
            destination: Where the probe went.
            port: To which port.
            payload: What is quoted.
            sender: Who says so.
            now_ns: Monotonic clock, nanoseconds.
        """
        if _is_nameless(payload):
            return self._only_candidate((int(destination), port), bytes(payload[:1]), int(sender), now_ns)
        (identifier,) = _WORD.unpack_from(payload)
        found = self._probes.get(identifier)
        if found is not None and found[1].port != port:
            return self._refuse(payload, Refusal.UNMATCHED)
        return self._match(identifier, destination, payload)

    def take_note(self, probe: ProbeId, payload: memoryview, sender: IPv4Address | IPv6Address) -> None:
        """Note that a probe has been answered, so that no empty quote can mean it any more.

        Args:
            probe: The probe that a quote was resolved to.
            payload: What is quoted.
            sender: Who answered.
        """
        self._was_answered(probe)
        if _is_nameless(payload):
            identifier = self._identifiers[probe]
            template = self._probes[identifier][1]
            key = self._answered_by[identifier] = (template.address, template.port, int(sender))
            self._answerers[key] = identifier

    def resolve_answer(
        self, sender: IPv4Address | IPv6Address, port: int, payload: memoryview
    ) -> ProbeId | Refusal:
        """Find the probe that a datagram from the probed port answers; see :class:`UdpCodec`."""
        outcome = super().resolve_answer(sender, port, payload)
        if not isinstance(outcome, Refusal):
            self._was_answered(outcome)
        return outcome

    def _only_candidate(
        self, place: tuple[int, int], shown: bytes, sender: int, now_ns: int
    ) -> ProbeId | Refusal:
        # One byte is half an identifier; a zero may be padding.
        begin = shown.rstrip(b"\0")
        awaited = [
            identifier
            for identifier in self._awaited(place, now_ns)
            if identifier.to_bytes(BALANCE_SIZE).startswith(begin)
        ]
        if not awaited:
            return Refusal.UNMATCHED
        if len(awaited) > 1:
            return Refusal.AMBIGUOUS
        probe, _, ttl, _ = self._probes[awaited[0]]
        before = self._answerers.get((*place, sender))
        if before is not None and self._probes[before][2] != ttl:
            return Refusal.AMBIGUOUS
        return probe if probe in self._identifiers else Refusal.RELEASED

    def _awaited(self, place: tuple[int, int], now_ns: int) -> dict[int, int]:
        """The identifiers that an empty quote from a place can mean; forgets those of the past."""
        awaited = {
            identifier: until
            for identifier, until in self._candidates.pop(place, {}).items()
            if until > now_ns and identifier in self._probes
        }
        if awaited:
            self._candidates[place] = awaited
        return awaited

    def _was_answered(self, probe: ProbeId) -> None:
        identifier = self._identifiers[probe]
        template = self._probes[identifier][1]
        place = (template.address, template.port)
        awaited = self._candidates.get(place, {})
        awaited.pop(identifier, None)
        if not awaited:
            self._candidates.pop(place, None)

    def _give_back(self, identifier: int, template: Template) -> None:
        super()._give_back(identifier, template)
        key = self._answered_by.pop(identifier, None)
        if key is not None and self._answerers.get(key) == identifier:
            del self._answerers[key]

    # --- what is different on the wire --------------------------------------------------------------------

    def _leading_word(self, template: Template, identifier: int) -> int:  # noqa: ARG002 - no balance
        return identifier

    def _identifier_in(self, template: Template, payload: memoryview) -> int:  # noqa: ARG002 - as above
        (identifier,) = _WORD.unpack_from(payload)
        return int(identifier)

    def _fill(self, template: Template, digest: bytes) -> None:  # noqa: ARG002 - no field to derive
        _HEADER.pack_into(template.buffer, 0, self.source_port, template.port, len(template.buffer), 0)

    def _segments(self, template: Template, identifiers: list[int]) -> list[bytes]:
        buffer = template.buffer
        segments = []
        for identifier in identifiers:
            _WORD.pack_into(buffer, TRANSPORT_HEADER, identifier)
            segments.append(bytes(buffer))
        return segments


def _is_nameless(payload: memoryview) -> bool:
    """Whether a quoted payload doesn't say which probe of its flow it was."""
    return len(payload) < BALANCE_SIZE or not any(payload)
