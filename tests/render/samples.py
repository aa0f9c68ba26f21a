"""Results for the renderers: every ending, every kind of trouble, and a network that means harm."""

from __future__ import annotations

from tests.model.samples import TYPICAL, cancelled, hop, replied, result, silent, unsent
from traceprobe.config import Protocol
from traceprobe.model import Asn, EnrichmentError, Exchange, Knowledge, ReplyKind, StopReason, TraceResult

UNREACHABLE = result(
    hop(1, ("10.0.0.1", 1.0), ("10.0.0.1", 1.1), ("10.0.0.1", 0.9)),
    hop(
        2,
        replied("198.51.100.1", 2.0, kind=ReplyKind.UNREACHABLE, icmp=(3, 13)),
        replied("198.51.100.1", 12345.678, kind=ReplyKind.UNREACHABLE, icmp=(3, 1)),
        None,
    ),
    stop_reason=StopReason.UNREACHABLE,
    protocol=Protocol.UDP,
    mode="linux_udp",
)

SEND_ERRORS = result(
    hop(1, ("10.0.0.1", 1.0), None, unsent()),
    hop(2, unsent(), unsent("EPERM"), unsent()),
    hop(3, unsent("EWHATEVER"), unsent("strange"), unsent()),
    stop_reason=StopReason.MAX_TTL,
)

CUT_SHORT = result(
    hop(1, ("10.0.0.1", 1.0), ("10.0.0.1", 1.1), cancelled()),
    hop(2, cancelled(), cancelled(), cancelled()),
    target="203.0.113.80",
    stop_reason=StopReason.CANCELLED,
)

SILENCE = result(*(hop(ttl, None, None, None) for ttl in (4, 5, 6)), stop_reason=StopReason.GAP_LIMIT)

LOOP = result(
    *(hop(ttl, (f"10.0.0.{2 - ttl % 2}", 1.0 * ttl)) for ttl in range(1, 5)), stop_reason=StopReason.LOOP
)

OUT_OF_TIME = result(hop(1, ("10.0.0.1", 1.0), silent(waited_ms=12.5)), stop_reason=StopReason.TIMEOUT)

NOTHING = result(stop_reason=StopReason.CANCELLED)

IPV6 = result(
    hop(1, ("2001:db8::1", 0.5), ("2001:db8::1", 0.6), ("2001:db8::1", 0.7)),
    hop(
        2,
        replied(
            "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe",
            1.5,
            kind=ReplyKind.PACKET_TOO_BIG,
            icmp=(2, 0),
            mtu=1280,
        ),
        replied("2001:db8:ffff:ffff:ffff:ffff:ffff:fffe", 1.6, kind=ReplyKind.UNREACHABLE, icmp=(1, 6)),
        replied("2001:db8:ffff:ffff:ffff:ffff:ffff:fffe", 1.7, kind=ReplyKind.UNREACHABLE, icmp=(1, 99)),
    ),
    hop(3, *(replied("2001:db8::9", 2.5, kind=ReplyKind.RST, icmp=None) for _ in range(3))),
    target="host.example",
    address="2001:db8::9",
    protocol=Protocol.TCP,
    mode="linux_tcp",
    discarded={"unmatched": 3, "rewritten": 1},
)

MANY_QUERIES = result(
    hop(
        1, *(("10.0.0.1", 1.0 + attempt / 7) for attempt in range(10)), names={"10.0.0.1": "gateway.example"}
    ),
    hop(2, *[None] * 10),
    hop(
        3,
        *(("10.0.0.3", 2.0 + attempt) for attempt in range(6)),
        None,
        *(replied("10.0.0.4", 3.0 + attempt, late=attempt == 2) for attempt in range(3)),
    ),
    stop_reason=StopReason.MAX_TTL,
)

HOSTILE_NAME = "=cmd|'/C calc'!A0\x1b[2J\u202e<script>alert(1)</script>\n 9  9.9.9.9"
HOSTILE = result(
    hop(
        1,
        ("10.0.0.1", 1.0),
        ("10.0.0.2", 2.0),
        unsent('"><img src=x onerror=alert(2)>'),
        names={
            "10.0.0.1": HOSTILE_NAME,
            "10.0.0.2": Knowledge(
                "@SUM(1)\x7f\x9b",
                Asn(
                    64501, prefix="<b>", country="<i>&", registry="\x1b", name="</table><script>\u2028\ud800"
                ),
                country="<u>\x07",
                city="=SUM(2)\x1b[1m",
                exchange=Exchange("<script>\u202e", "\x9b<b>", "<i>\n", "\r", 64502),
                errors=(EnrichmentError("<b>\x1b", "<script>alert(4)</script>\n"),),
            ),
        },
    ),
    target="<svg/onload=alert(3)>\x1b]0;owned\x07",
    stop_reason=StopReason.CANCELLED,
    mode="<u>mode\r",
)

ALL: dict[str, TraceResult] = {
    "typical": TYPICAL,
    "unreachable": UNREACHABLE,
    "send_errors": SEND_ERRORS,
    "cut_short": CUT_SHORT,
    "silence": SILENCE,
    "loop": LOOP,
    "out_of_time": OUT_OF_TIME,
    "nothing": NOTHING,
    "ipv6": IPV6,
    "many_queries": MANY_QUERIES,
    "hostile": HOSTILE,
}
