"""What all probes have in common on the wire: templates, tokens, and the ledger of identifiers.

A template is the datagram of one trace (and flow, and size) with everything filled in but the identifier
and what depends on it; sending a probe stores a few words and copies it. The ledger knows which identifier
belongs to which probe, keeps no identifier in use twice, and lets the identifiers of probes that were
given up rest before they are used again.

Sans-IO: knows no sockets and no clocks; time is an argument.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from itertools import repeat
from random import Random, SystemRandom
from typing import TYPE_CHECKING, ClassVar, Final

from traceprobe.config import MAX_PACKET_SIZE, AddressFamily, FlowStrategy, Protocol
from traceprobe.errors import ConfigError, NoUsableSocketError, UnsupportedOption, UsageError
from traceprobe.model import PROBE_INDEX_BITS
from traceprobe.sockets.codec._quotes import QuoteReader
from traceprobe.sockets.codec._refusal import Refusal
from traceprobe.sockets.codec._template import (
    BALANCE_SIZE,
    COOKIE_SIZE,
    DEFAULT_SIZE,
    IP_HEADER,
    TOKEN_SIZE,
    TRANSPORT_HEADER,
    SentHeader,
    Template,
    end_of_run,
)

try:
    # As the standard library's random does it: hashlib brings the whole of OpenSSL along.
    from _blake2 import blake2b
except ImportError:  # an interpreter that keeps it elsewhere
    from hashlib import blake2b

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from traceprobe.model import Probe, ProbeId, ReplyKind
    from traceprobe.packets import (
        EchoMessage,
        IcmpError,
        IcmpOther,
        TcpSegment,
        UdpDatagram,
    )

_SECRET_SIZE: Final = 32
_FLOW_LIMIT: Final = 2**32


class ProbeCodec(QuoteReader):
    """Turns probes into transport segments, and received messages back into probes.

    Args:
        family: Address family of all destinations.
        flow: Flow strategy. ``PARIS`` and ``DUBLIN`` hold the flow of all probes of a trace that have the
            same flow number; ``CLASSIC`` lets it vary with every probe.
        quarantine_ns: How long the identifier of a released probe rests, nanoseconds.
        random: Source of identifiers; None is the operating system's.
        secret: Key that tokens are derived with; None draws one.
        payload_pattern: What the payload is filled with behind what identifies a probe; None for zeros.
        labelled: Whether the socket can set the IPv6 flow label of each probe.
        flow_label: The flow label (the first one, where it varies); None derives one.

    Attributes:
        sent_header: What is known of the IP headers that the kernel writes; set by the socket.

    Raises:
        UnsupportedOption: The flow strategy is one that this codec can't hold.
    """

    protocol: ClassVar[Protocol]
    flows: ClassVar[frozenset[FlowStrategy]] = frozenset(FlowStrategy)
    longest_kept: ClassVar[int] = 0
    """Bytes of the longest segment that is kept, to compare quotes with."""

    def __init__(
        self,
        family: AddressFamily,
        flow: FlowStrategy,
        *,
        quarantine_ns: int,
        random: Random | None = None,
        secret: bytes | None = None,
        payload_pattern: bytes | None = None,
        labelled: bool = False,
        flow_label: int | None = None,
    ) -> None:
        if flow not in self.flows:
            raise UnsupportedOption(
                "flow",
                flow.value,
                mode=None,
                remedy=f"choose one of {', '.join(sorted(self.flows))} for {self.protocol.value} probes",
            )
        self.family = family
        self.flow = flow
        self._random = SystemRandom() if random is None else random
        self._secret = self._random.randbytes(_SECRET_SIZE) if secret is None else secret
        self._quarantine_ns = quarantine_ns
        self._constant = flow is not FlowStrategy.CLASSIC
        self._pattern = payload_pattern or b""
        self.labelled: bool = labelled and family is AddressFamily.IPV6
        """Whether probes have a flow label that :meth:`flow_labels` tells."""
        self._label = flow_label
        self.sent_header: SentHeader = SentHeader()
        self._token_at = TRANSPORT_HEADER + (BALANCE_SIZE if self._constant else 0)
        self._cookie = blake2b(key=self._secret, digest_size=COOKIE_SIZE).digest()
        self._templates: dict[tuple[int, int, int, int], Template] = {}
        self._tokens: dict[bytes, Template] = {}
        # Identifier -> probe; resting identifiers stay, so that a late reply is known for what it is.
        self._probes: dict[int, tuple[ProbeId, Template, int, bytes]] = {}
        self._identifiers: dict[ProbeId, int] = {}
        self._resting: deque[tuple[int, list[int]]] = deque()

    # --- what the protocols differ in ------------------------------------------------------------------

    @property
    @abstractmethod
    def capacity(self) -> int:
        """Most probes that can be outstanding at once (towards one destination, where ports tell)."""

    @abstractmethod
    def resolve(
        self,
        message: EchoMessage | IcmpError | IcmpOther | UdpDatagram | TcpSegment,
        sender: IPv4Address | IPv6Address,
    ) -> ProbeId | Refusal:
        """Find the probe that a message answers.

        Does not change anything: a second reply to the same probe resolves again, until the probe is
        released. Fields that routers and translators may change (TTL, traffic class, length, IP
        identification, flags, checksums that aren't the identifier) never decide.

        Args:
            message: The message, parsed; its checksum was verified by whoever parsed it.
            sender: Source address of the datagram that brought it.
        """

    def kind_of(self, message: EchoMessage | IcmpOther | UdpDatagram | TcpSegment) -> ReplyKind | None:  # noqa: ARG002
        """What a message that answers a probe, and is no error and no echo, says; None for nothing."""
        return None

    @abstractmethod
    def _port_of(self, probe: Probe) -> int:
        """Destination port of a probe, 0 where there are none; ConfigError if it can't be used."""

    @abstractmethod
    def _fill(self, template: Template, digest: bytes) -> None:
        """Write header and base sum of a fresh template."""

    @abstractmethod
    def _take(self, template: Template, count: int) -> list[int] | None:
        """Take identifiers; None if there are not that many."""

    @abstractmethod
    def _give_back(self, identifier: int, template: Template) -> None:
        """Return an identifier that has rested."""

    @abstractmethod
    def _segments(self, template: Template, identifiers: list[int]) -> list[bytes]:
        """Copies of the template, each with an identifier and what depends on it."""

    def _place_token(self, template: Template, digest: bytes) -> None:
        """Write the token, and the pattern behind it, into a fresh template."""
        start = self._token_at
        token = digest[: min(TOKEN_SIZE, len(template.buffer) - start)]
        template.token = token
        template.token_end = start + len(token)
        template.buffer[start : template.token_end] = token
        template.fill(template.token_end, self._pattern)

    # --- for filters ---------------------------------------------------------------------------------

    @property
    def cookie(self) -> bytes:
        """Four bytes that all probes of this codec carry, if they have room for them."""
        return self._cookie

    @property
    def cookie_at(self) -> int:
        """Where they stand, counted from the transport header."""
        return self._token_at

    # --- sizes -----------------------------------------------------------------------------------------

    @property
    def default_size(self) -> int:
        """Bytes of a probe that names no size, IP header included."""
        return DEFAULT_SIZE[self.family]

    @property
    def minimum_size(self) -> int:
        """Bytes of the smallest probe, IP header included."""
        return IP_HEADER[self.family] + self._token_at

    @property
    def header_size(self) -> int:
        """Bytes of the IP header in front of what :meth:`encode` returns."""
        return IP_HEADER[self.family]

    def check_size(self, size: int) -> None:
        """Check a probe's size.

        Raises:
            ConfigError: It is too small for protocol, family and flow, or too large for a datagram.
        """
        if not self.minimum_size <= size <= MAX_PACKET_SIZE:
            raise ConfigError(
                "packet_size",
                size,
                f"from {self.minimum_size} to {MAX_PACKET_SIZE} bytes for {self.protocol.value.upper()} "
                f"over IPv{self.family.value} with flow {self.flow.value!r}",
            )

    # --- sending ---------------------------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """How many probes have been encoded and not released."""
        return len(self._identifiers)

    def encode(self, probe: Probe, source: IPv4Address | IPv6Address | None, now_ns: int) -> bytes:
        """Give a probe an identifier and make its transport segment; see :meth:`encode_batch`."""
        return self.encode_batch((probe,), source, now_ns)[0]

    def encode_batch(
        self,
        probes: Sequence[Probe],
        source: IPv4Address | IPv6Address | None,
        now_ns: int,
        *,
        alike: bool = False,
    ) -> list[bytes]:
        """Give probes identifiers and make their transport segments, checksums filled in.

        All or nothing: if one can't be encoded, none is. A probe that is outstanding already gets a new
        identifier.

        Args:
            probes: The probes.
            source: Source address of the datagrams. None only where the kernel computes the checksum.
            now_ns: Monotonic clock, nanoseconds.
            alike: Whether :func:`are_alike` has said so.

        Raises:
            ConfigError: A probe's size, port or flow is one that can't be sent.
            NoUsableSocketError: There are not that many identifiers left.
            UsageError: A probe stands in the batch twice.
        """
        segments: list[bytes] = []
        total = len(probes)
        try:
            while len(segments) < total:
                start = len(segments)
                template = self._template_for(probes[start], source)
                stop = total if alike else end_of_run(probes, start)
                run = probes[start:stop] if stop - start < total else probes
                ids = [probe.id for probe in run]
                if len(set(ids)) < len(ids):
                    raise UsageError("a batch can hold a probe only once")
                if not self._identifiers.keys().isdisjoint(ids):
                    self.release(ids, now_ns)
                identifiers = self._take_some(template, stop - start, now_ns)
                if not template.probes:
                    self._templates[template.key] = template
                    if len(template.token) == TOKEN_SIZE:
                        self._tokens[template.token] = template
                template.probes += stop - start
                made = self._segments(template, identifiers)
                kept = made if len(template.buffer) <= self.longest_kept else repeat(b"")
                ttls = [probe.ttl for probe in run]
                # Columns become rows; the first that ends, and none is longer than another, ends all.
                self._probes.update(zip(identifiers, zip(ids, repeat(template), ttls, kept), strict=False))
                self._identifiers.update(zip(ids, identifiers, strict=True))
                segments += made
        except BaseException:
            self.withdraw([probe.id for probe in probes[: len(segments)]])
            raise
        return segments

    def release(self, probes: Iterable[ProbeId], now_ns: int) -> None:
        """Give probes up. Their identifiers rest for a while; unknown probes are ignored.

        This is also where identifiers that have rested come free: nobody waits for a release, but a trace
        waits for its probes to be encoded.
        """
        self._end_rest(now_ns)
        known = self._identifiers
        released = [known.pop(probe) for probe in probes if probe in known]
        if released:
            self._resting.append((now_ns + self._quarantine_ns, released))

    def withdraw(self, probes: Iterable[ProbeId]) -> None:
        """Take back probes that never left the machine; their identifiers need no rest."""
        for probe in probes:
            identifier = self._identifiers.pop(probe, None)
            if identifier is not None:
                self._forget(identifier)

    def _end_rest(self, now_ns: int) -> None:
        resting = self._resting
        while resting and resting[0][0] <= now_ns:
            for identifier in resting.popleft()[1]:
                self._forget(identifier)

    def _forget(self, identifier: int) -> None:
        template = self._probes.pop(identifier)[1]
        self._give_back(identifier, template)
        template.probes -= 1
        if not template.probes:
            # Templates live exactly as long as their probes: the caches are bounded by the identifiers.
            if self._templates.get(template.key) is template:
                del self._templates[template.key]
            if self._tokens.get(template.token) is template:
                del self._tokens[template.token]

    def _take_some(self, template: Template, count: int, now_ns: int) -> list[int]:
        identifiers = self._take(template, count)
        if identifiers is None:
            self._end_rest(now_ns)
            identifiers = self._take(template, count)
        if identifiers is None:
            raise NoUsableSocketError(
                f"there are no {count} of the {self.capacity} identifiers of this socket left: "
                f"{self.outstanding} probes are outstanding, the identifiers of "
                f"{len(self._probes) - self.outstanding} others are resting",
                remedies=("allow fewer probes in flight", "shorten identifier_quarantine"),
            )
        return identifiers

    def _template_for(self, probe: Probe, source: IPv4Address | IPv6Address | None) -> Template:
        size = probe.size or self.default_size
        trace = probe.id >> PROBE_INDEX_BITS
        key = (trace, probe.flow, size, probe.port or 0)
        template = self._templates.get(key)
        if template is not None and template.destination == probe.destination and template.source == source:
            return template
        self.check_size(size)
        if not 0 <= probe.flow < _FLOW_LIMIT:
            raise ConfigError("flow", probe.flow, f"a flow number from 0 to {_FLOW_LIMIT - 1}")
        if probe.destination.version != self.family:
            raise UsageError(f"{probe.destination} is no IPv{self.family.value} address")
        port = self._port_of(probe)
        named = f"{trace} {probe.flow} {size} {port}".encode()
        own = blake2b(named, key=self._secret, digest_size=TOKEN_SIZE - COOKIE_SIZE).digest()
        # What the flows of a trace count from is the same for all of them.
        common = blake2b(b"%d" % trace, key=self._secret, digest_size=BALANCE_SIZE + COOKIE_SIZE).digest()
        digest = self._cookie + own + common
        label = self._first_label(probe, digest) if self.labelled else None
        buffer = bytearray(size - IP_HEADER[self.family])
        template = Template(key, probe.destination, source, port, buffer, label)
        self._place_token(template, digest)
        self._fill(template, digest)
        return template

    # --- matching --------------------------------------------------------------------------------------

    def _recognise_at(self, identifier: int, destination: bytes, shown: bytes, start: int) -> ProbeId | None:
        """An outstanding probe of which something shows nothing that is different from what was sent.

        Args:
            identifier: The identifier that it shows.
            destination: Where it says the probe went, packed.
            shown: What it shows of the probe.
            start: Where in the segment that begins.
        """
        found = self._probes.get(identifier)
        if found is None:
            return None
        probe, template, _, segment = found
        is_same = segment.startswith(shown, start) and destination == template.packed
        return probe if is_same and probe in self._identifiers else None

    def _match(
        self,
        identifier: int,
        destination: IPv4Address | IPv6Address | None,
        payload: memoryview,
        *,
        complete: bool = False,
    ) -> ProbeId | Refusal:
        """Compare everything that a message shows of its probe.

        Args:
            identifier: The identifier that it shows.
            destination: Where it says the probe went; None if it doesn't say.
            payload: What it shows of the probe's payload.
            complete: Whether it must show all of the payload.
        """
        found = self._probes.get(identifier)
        if found is None:
            return self._refuse(payload, Refusal.UNMATCHED)
        probe, template, _, _ = found
        expected = template.token
        if self._constant:
            expected = self._leading_word(template, identifier).to_bytes(BALANCE_SIZE) + expected
        shown = bytes(payload[: len(expected)])
        if shown != expected and (complete or not expected.startswith(shown.rstrip(b"\0"))):
            # Quotes end anywhere, and some routers fill them up with zeros to the length that RFC 4884
            # section 3 asks for: zeros at the end are nothing shown.
            return self._refuse(payload, Refusal.BAD_TOKEN)
        if destination is not None and int(destination) != template.address:
            return Refusal.REWRITTEN if shown and shown == expected else Refusal.UNMATCHED
        if probe not in self._identifiers:
            return Refusal.RELEASED
        return probe

    def _leading_word(self, template: Template, identifier: int) -> int:
        """The word in front of the token of a probe with a constant flow."""
        return self._balance(template, identifier)

    @staticmethod
    def _balance(template: Template, identifier: int) -> int:
        """The word that, with the identifier, brings a template's sum to 0xffff."""
        total = template.base + identifier
        return 0xFFFF - ((total & 0xFFFF) + (total >> 16))

    def _refuse(self, payload: memoryview, reason: Refusal) -> Refusal:
        """Refuse a message whose identifiers aren't ours, unless its token shows that they were once."""
        start = self._token_at - TRANSPORT_HEADER
        rewritten = bytes(payload[start : start + TOKEN_SIZE]) in self._tokens
        return Refusal.REWRITTEN if rewritten else reason
