"""How probes have ended, as the values of a result.

There is one for every probe of every trace, so they are built in place, field by field. Knows probes and
their replies; nothing of hops or of time.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, cast

from traceprobe.engine._states import ANSWERED_LATE, GIVEN_UP, PENDING, ProbeState
from traceprobe.model import ProbeResult, ProbeStatus
from traceprobe.model._hop import open_probe_result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceprobe.engine._states import ProbeRecord

_REPLY: Final = ProbeStatus.REPLY


def results_of(records: Iterable[ProbeRecord]) -> tuple[ProbeResult, ...]:
    """How each of these probes has ended; those that are open still are left out."""
    results: list[ProbeResult] = []
    for record in records:
        reply = record.reply
        if reply is None:
            if record.state not in PENDING:
                results.append(_unanswered(record))
            continue
        # The kernel's stamp of the transmission is better than the clock read before the call.
        sent_at_ns = record.sent_at_ns if reply.sent_at_ns is None else reply.sent_at_ns
        result = open_probe_result()
        result.attempt = record.attempt
        result.flow = record.flow
        result.status = _REPLY
        result.late = record.state is ANSWERED_LATE
        result.address = reply.address
        result.rtt_ns = reply.rtt_ns
        result.sent_at_ns = None if sent_at_ns is None else sent_at_ns - sent_at_ns % 1000
        result.waited_ns = None
        result.timestamp_source = reply.timestamp_source
        result.reply = reply.kind
        result.icmp_type = reply.icmp_type
        result.icmp_code = reply.icmp_code
        result.reply_ttl = reply.reply_ttl
        result.quoted_ttl = reply.quoted_ttl
        result.mtu = reply.mtu
        result.mpls = reply.mpls
        result.interfaces = reply.interfaces
        result.extensions = reply.extensions
        result.changes = reply.changes
        result.error = None
        result.__class__ = ProbeResult
        results.append(result)
    return tuple(results)


def _unanswered(record: ProbeRecord) -> ProbeResult:
    status, waited_ns, error = ProbeStatus.CANCELLED, None, None
    if record.state is GIVEN_UP:
        assert record.given_up_ns is not None
        assert record.sent_ns is not None
        status, waited_ns = ProbeStatus.TIMEOUT, max(0, record.given_up_ns - record.sent_ns)
    elif record.state is ProbeState.SEND_ERROR:
        assert record.error is not None
        # Windows has names of its own for errors of sockets: WSAENETUNREACH.
        error = errno.errorcode.get(record.error, str(record.error)).removeprefix("WSA")
        status = ProbeStatus.SEND_ERROR
    result = open_probe_result()
    result.attempt = record.attempt
    result.flow = record.flow
    result.status = status
    result.late = False
    result.sent_at_ns = None if record.sent_at_ns is None else record.sent_at_ns - record.sent_at_ns % 1000
    result.waited_ns = waited_ns
    result.address = result.rtt_ns = result.timestamp_source = result.reply = None
    result.icmp_type = result.icmp_code = result.reply_ttl = result.quoted_ttl = result.mtu = None
    result.mpls = result.interfaces = result.extensions = result.changes = ()
    result.error = error
    result.__class__ = ProbeResult
    return cast("ProbeResult", result)
