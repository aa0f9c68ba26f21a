"""What each way of probing needs, holds, honours and sees: one table, for all platforms.

Sockets take their capabilities from it, refusals their remedies, and the documentation its table, so that
none of them can say anything else than the others. It is data: opens no socket and knows no system call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from traceprobe._frozen import frozen
from traceprobe.config import AddressFamily, FlowStrategy, Mode, Protocol
from traceprobe.errors import UnsupportedOption
from traceprobe.model import ChangedField
from traceprobe.sockets.protocol import SocketCapabilities

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from traceprobe.config import TracerouteConfig
    from traceprobe.model import TimestampSource

PARIS, CLASSIC, DUBLIN = FlowStrategy.PARIS, FlowStrategy.CLASSIC, FlowStrategy.DUBLIN

OPTIONS: Final = (
    "source",
    "interface",
    "mark",
    "dscp",
    "ecn",
    "flow_label",
    "dont_fragment",
    "packet_size",
    "payload_pattern",
    "port",
    "source_port",
)
"""The fields of the configuration that a way of probing may have no support for."""

_IPV4_ONLY: Final = frozenset({
    ChangedField.IDENTIFICATION,
    ChangedField.DONT_FRAGMENT,
    ChangedField.IP_CHECKSUM,
})
_IPV6_ONLY: Final = frozenset({ChangedField.FLOW_LABEL})
_IP: Final = frozenset({
    ChangedField.TTL,
    ChangedField.DSCP,
    ChangedField.ECN,
    ChangedField.IDENTIFICATION,
    ChangedField.TOTAL_LENGTH,
    ChangedField.DONT_FRAGMENT,
    ChangedField.IP_CHECKSUM,
    ChangedField.FLOW_LABEL,
    ChangedField.SOURCE,
})
_CHECKSUM: Final = frozenset({ChangedField.TRANSPORT_CHECKSUM})
_PAYLOAD: Final = frozenset({ChangedField.PAYLOAD})
_TCP: Final = frozenset({ChangedField.TCP_FLAGS, ChangedField.TCP_WINDOW, ChangedField.TCP_OPTIONS})

_HEADER_OPTIONS: Final = frozenset({
    "source",
    "interface",
    "mark",
    "dscp",
    "ecn",
    "flow_label",
    "dont_fragment",
    "packet_size",
    "payload_pattern",
})
_PORTS: Final = frozenset({"port", "source_port"})


@frozen(kw_only=True)
class ModeFacts:
    """One way of probing, with one protocol."""

    mode: Mode
    protocol: Protocol
    privilege: str | None
    """What the process needs for it, in words; None for nothing."""
    flows: tuple[FlowStrategy, ...]
    """The flow strategies that it can hold, the one that it takes by itself first."""
    options: frozenset[str]
    """Those of ``OPTIONS`` that it honours."""
    sees_changes: frozenset[ChangedField]
    """What it can see of what the path did to a probe, in both families together."""
    sees_extensions: bool = True
    """Whether MPLS labels and other extension objects of ICMP errors reach it."""
    sees_quoted_ttl: bool = True
    sees_reply_ttl: bool = True
    descriptors: Literal["shared", "per_flow", "per_probe"] = "shared"

    @property
    def platform(self) -> str:
        """The platform that it belongs to, as the mode's name begins."""
        return self.mode.value.partition("_")[0]

    def changes_seen(self, family: AddressFamily) -> frozenset[ChangedField]:
        """What it can see of what the path did, in one family."""
        return self.sees_changes - (_IPV6_ONLY if family is AddressFamily.IPV4 else _IPV4_ONLY)

    def capabilities(
        self,
        family: AddressFamily,
        flow: FlowStrategy,
        *,
        timestamps: TimestampSource,
        max_in_flight: int,
        default_port: int | None,
    ) -> SocketCapabilities:
        """What a socket of this way of probing can do and see."""
        return SocketCapabilities(
            family=family,
            protocol=self.protocol,
            mode=self.mode.value,
            flow=flow,
            flows=frozenset(self.flows),
            descriptors=self.descriptors,
            timestamps=timestamps,
            max_in_flight=max_in_flight,
            sees_quoted_ttl=self.sees_quoted_ttl,
            sees_reply_ttl=self.sees_reply_ttl,
            default_port=default_port,
            sees_extensions=self.sees_extensions,
            sees_changes=self.changes_seen(family),
        )

    def check(self, config: TracerouteConfig, family: AddressFamily) -> None:
        """Refuse what this way of probing can't honour.

        Raises:
            UnsupportedOption: An option is set that it has no support for.
        """
        for option in OPTIONS:
            value = getattr(config, option)
            if value is None:
                continue
            if option not in self.options:
                raise UnsupportedOption(option, value, mode=self.mode.value, remedy=self._remedy(option))
            if option == "flow_label" and family is AddressFamily.IPV4:
                raise UnsupportedOption(
                    option,
                    value,
                    mode=self.mode.value,
                    remedy="IPv4 has no flow label: choose family 6 and a target that has an IPv6 address",
                )

    def choose_flow(self, config: TracerouteConfig) -> FlowStrategy:
        """The flow strategy to use: the one asked for, or the steadiest that can be relied on.

        Raises:
            UnsupportedOption: It can't hold the one that was asked for.
        """
        wanted = config.flow
        if wanted is None:
            return self.flows[0]
        if wanted in self.flows:
            return wanted
        remedy = f"choose {alternatives(flow.value for flow in self.flows)}"
        others = [facts.mode.value for facts in self._siblings() if wanted in facts.flows]
        elsewhere = [facts for facts in self._neighbours() if wanted in facts.flows]
        if others:
            remedy += f", or mode {alternatives(others)}, which holds it"
        elif elsewhere:
            other = elsewhere[0]
            remedy += f", or protocol {other.protocol.value!r} with mode {other.mode.value!r}, which holds it"
        raise UnsupportedOption("flow", wanted.value, mode=self.mode.value, remedy=remedy)

    def _remedy(self, option: str) -> str:
        if option in _PORTS and self.protocol is Protocol.ICMP:
            return "ICMP has no ports: choose protocol 'udp' or 'tcp'"
        others = [facts.mode.value for facts in self._siblings() if option in facts.options]
        return f"choose mode {alternatives(others)}" if others else "leave it out"

    def _siblings(self) -> Iterable[ModeFacts]:
        """The other ways of probing with this protocol on the same platform."""
        return (facts for facts in self._neighbours() if facts.protocol is self.protocol)

    def _neighbours(self) -> Iterable[ModeFacts]:
        """The other ways of probing on the same platform."""
        return (facts for facts in CATALOGUE if facts.platform == self.platform and facts is not self)


def alternatives(names: Iterable[str]) -> str:
    """What there is to choose from, such as ``'icmp' or 'udp'``."""
    return " or ".join(repr(name) for name in dict.fromkeys(names))


LINUX: Final = (
    ModeFacts(
        mode=Mode.LINUX_RAW,
        protocol=Protocol.ICMP,
        privilege="CAP_NET_RAW",
        flows=(PARIS, CLASSIC, DUBLIN),
        options=_HEADER_OPTIONS,
        sees_changes=_IP | _CHECKSUM | _PAYLOAD,
    ),
    ModeFacts(
        mode=Mode.LINUX_PING,
        protocol=Protocol.ICMP,
        privilege="a group in net.ipv4.ping_group_range",
        flows=(PARIS, CLASSIC, DUBLIN),
        options=_HEADER_OPTIONS,
        sees_changes=_CHECKSUM | _PAYLOAD,
        sees_quoted_ttl=False,
    ),
    ModeFacts(
        mode=Mode.LINUX_RAW,
        protocol=Protocol.UDP,
        privilege="CAP_NET_RAW",
        flows=(PARIS, CLASSIC, DUBLIN),
        options=_HEADER_OPTIONS | _PORTS,
        sees_changes=_IP | _CHECKSUM | _PAYLOAD | {ChangedField.UDP_LENGTH},
    ),
    ModeFacts(
        mode=Mode.LINUX_UDP,
        protocol=Protocol.UDP,
        privilege=None,
        # A router that quotes nothing behind the UDP header leaves a probe of a constant flow nameless.
        flows=(CLASSIC, PARIS, DUBLIN),
        options=_HEADER_OPTIONS | _PORTS,
        sees_changes=_PAYLOAD,
        sees_quoted_ttl=False,
    ),
    ModeFacts(
        mode=Mode.LINUX_RAW,
        protocol=Protocol.TCP,
        privilege="CAP_NET_RAW",
        flows=(PARIS, CLASSIC, DUBLIN),
        options=_HEADER_OPTIONS | _PORTS,
        sees_changes=_IP | _CHECKSUM | _PAYLOAD | _TCP,
    ),
    ModeFacts(
        mode=Mode.LINUX_TCP,
        protocol=Protocol.TCP,
        privilege=None,
        flows=(CLASSIC,),
        # The kernel makes the segment, chooses its ports, and keeps the ECN bits to itself (tcp(7)).
        options=frozenset({"source", "interface", "mark", "dscp", "flow_label", "dont_fragment", "port"}),
        sees_changes=frozenset({ChangedField.TCP_FLAGS}),
        sees_quoted_ttl=False,
        sees_reply_ttl=False,
        descriptors="per_probe",
    ),
)
"""The ways of probing on Linux, best first, and in the order in which they are tried."""

# Windows ignores the traffic class of ordinary sockets (IP_TOS) without a word; it has no firewall marks,
# and no way to choose a flow label.
_WINDOWS: Final = frozenset({"source", "dont_fragment"})

WINDOWS: Final = (
    ModeFacts(
        mode=Mode.WINDOWS_ICMP,
        protocol=Protocol.ICMP,
        privilege=None,
        flows=(CLASSIC,),
        options=_WINDOWS | {"dscp", "ecn", "packet_size", "payload_pattern"},
        sees_changes=frozenset(),
        sees_extensions=False,
        sees_quoted_ttl=False,
    ),
    ModeFacts(
        mode=Mode.WINDOWS_RAW,
        protocol=Protocol.UDP,
        privilege="the rights of an administrator",
        flows=(PARIS, CLASSIC, DUBLIN),
        options=_WINDOWS | {"interface", "packet_size", "payload_pattern", "port", "source_port"},
        sees_changes=frozenset({
            ChangedField.TTL,
            ChangedField.DSCP,
            ChangedField.ECN,
            ChangedField.TOTAL_LENGTH,
            ChangedField.DONT_FRAGMENT,
            ChangedField.IP_CHECKSUM,
            ChangedField.SOURCE,
            ChangedField.TRANSPORT_CHECKSUM,
            ChangedField.UDP_LENGTH,
            ChangedField.PAYLOAD,
        }),
    ),
    ModeFacts(
        mode=Mode.WINDOWS_RAW,
        protocol=Protocol.TCP,
        privilege="the rights of an administrator, or Windows 10 2004",
        flows=(CLASSIC,),
        options=_WINDOWS | {"interface", "port"},
        sees_changes=frozenset({ChangedField.TTL}),
        descriptors="per_probe",
    ),
)
"""The ways of probing on Windows, best first, and in the order in which they are tried."""

# Which of these options a system has is in its own table. What the quoted length and fragment field say is
# not believed, since kernels rewrite them; firewall marks and flow labels have no option at all.
_BSD: Final = frozenset({"source", "interface", "dscp", "ecn", "dont_fragment"})
_BSD_IP: Final = frozenset({ChangedField.TTL, ChangedField.DSCP, ChangedField.ECN, ChangedField.SOURCE})

BSD: Final = (
    ModeFacts(
        mode=Mode.BSD_RAW,
        protocol=Protocol.ICMP,
        privilege="root",
        flows=(PARIS, CLASSIC, DUBLIN),
        options=_BSD | {"packet_size", "payload_pattern"},
        sees_changes=_BSD_IP | _CHECKSUM | _PAYLOAD,
    ),
    ModeFacts(
        mode=Mode.DARWIN_DGRAM,
        protocol=Protocol.ICMP,
        privilege=None,
        flows=(PARIS, CLASSIC, DUBLIN),
        options=_BSD | {"packet_size", "payload_pattern"},
        sees_changes=_BSD_IP | _CHECKSUM | _PAYLOAD,
    ),
    ModeFacts(
        mode=Mode.BSD_RAW,
        protocol=Protocol.UDP,
        privilege="root",
        flows=(PARIS, CLASSIC, DUBLIN),
        options=_BSD | _PORTS | {"packet_size", "payload_pattern"},
        sees_changes=_BSD_IP | _CHECKSUM | _PAYLOAD | {ChangedField.UDP_LENGTH},
    ),
    ModeFacts(
        mode=Mode.DARWIN_DGRAM,
        protocol=Protocol.UDP,
        privilege=None,
        flows=(CLASSIC,),
        options=_BSD | _PORTS | {"packet_size", "payload_pattern"},
        sees_changes=_BSD_IP | _CHECKSUM | _PAYLOAD | {ChangedField.UDP_LENGTH},
    ),
    ModeFacts(
        mode=Mode.BSD_RAW,
        protocol=Protocol.TCP,
        privilege="root",
        flows=(CLASSIC,),
        options=_BSD - {"ecn"} | {"port"},
        sees_changes=frozenset({ChangedField.TTL}),
        descriptors="per_probe",
    ),
    ModeFacts(
        mode=Mode.DARWIN_DGRAM,
        protocol=Protocol.TCP,
        privilege=None,
        flows=(CLASSIC,),
        options=_BSD - {"ecn"} | {"port"},
        sees_changes=frozenset({ChangedField.TTL}),
        descriptors="per_probe",
    ),
)
"""The ways of probing on the BSDs and macOS, best first, and in the order in which they are tried."""

CATALOGUE: Final[tuple[ModeFacts, ...]] = LINUX + WINDOWS + BSD
"""All ways of probing, platform by platform."""

_FACTS: Final[Mapping[tuple[Mode, Protocol], ModeFacts]] = {
    (facts.mode, facts.protocol): facts for facts in CATALOGUE
}


def facts_of(mode: Mode, protocol: Protocol) -> ModeFacts:
    """The facts of one way of probing.

    Raises:
        KeyError: There is none.
    """
    return _FACTS[mode, protocol]


def needs_nothing(mode: Mode, protocol: Protocol) -> bool:
    """Whether a way of probing is known to need no privilege."""
    facts = _FACTS.get((mode, protocol))
    return facts is not None and facts.privilege is None
