"""Why a received packet is no reply to any probe: the keys of ``discarded``."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """Reasons for refusing a packet.

    Attributes:
        FOREIGN: It answers somebody else's packet.
        MALFORMED: It is no packet of the kind that it claims to be, or it quotes too little.
        BAD_CHECKSUM: It was damaged on its way.
        BAD_TOKEN: Its identifiers are those of a probe, its token isn't: forged, or damaged.
        REWRITTEN: Its token is that of a probe, its identifiers aren't: something on the path changed them.
        UNMATCHED: It speaks of this socket, but of no probe that is outstanding.
        RELEASED: Its probe had been given up for good.
        AMBIGUOUS: It answers one of several probes, and does not say which.
        UNEXPECTED: It is about a probe, but says nothing about the path, such as a redirect.
        OVERFLOW: The kernel dropped it, because the socket's receive buffer was full. Where the kernel checks
            checksums itself and counts them with it (raw IPv6, UDP), possibly because its checksum was wrong.
        FAILED: The system had taken its probe, and then failed to send it or to wait for its answer.
    """

    FOREIGN = "foreign"
    MALFORMED = "malformed"
    BAD_CHECKSUM = "bad_checksum"
    BAD_TOKEN = "bad_token"  # noqa: S105 - the name of a reason
    REWRITTEN = "rewritten"
    UNMATCHED = "unmatched"
    RELEASED = "released"
    AMBIGUOUS = "ambiguous"
    UNEXPECTED = "unexpected"
    OVERFLOW = "overflow"
    FAILED = "failed"
