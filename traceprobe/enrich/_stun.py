"""STUN's Binding transaction (RFC 8489), without sockets: what to send, when, and which answer to believe.

Messages are encoded and decoded by ``aioice``, the extra ``stun``. It is imported by :func:`load_codec`,
which takes a while and is best done before anything is waited for.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from traceprobe.errors import UnsupportedOption

if TYPE_CHECKING:
    from types import ModuleType

    from traceprobe.config import EnrichmentConfig, TimingConfig
    from traceprobe.enrich._prefixes import IPAddress

_COOKIE: Final = (0x2112A442).to_bytes(4, "big")
"""RFC 8489 section 5."""

_MAPPED: Final = ("XOR-MAPPED-ADDRESS", "MAPPED-ADDRESS")
"""What tells the address, best first (RFC 8489 sections 14.1, 14.2): translators rewrite what they know."""


class StunRefusedError(OSError):
    """The server answered, but not with an address."""


def load_codec() -> ModuleType:
    """Import the codec.

    Raises:
        UnsupportedOption: It is not installed.
    """
    try:
        from aioice import stun
    except ImportError:
        raise UnsupportedOption(
            "public_address",
            True,
            mode=None,
            remedy="it needs: python -m pip install 'traceprobe[stun]'; or name the address in own_addresses",
        ) from None
    return stun


def waits(config: EnrichmentConfig, timing: TimingConfig) -> tuple[float, ...]:
    """How long to wait after each time that a request is sent, in seconds (RFC 8489 section 6.2.1)."""
    doubling = [timing.stun_rto * 2**sent for sent in range(config.stun_requests - 1)]
    return (*doubling, timing.stun_rto * timing.stun_last_wait_factor)


class BindingRequest:
    """One request, and the judge of what comes back.

    Args:
        version: IP version of the address that is asked for, 4 or 6.
        transaction_id: 12 unguessable bytes; None makes some.
    """

    def __init__(self, version: int, transaction_id: bytes | None = None) -> None:
        from aioice import stun

        self._version = version
        self._message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, transaction_id)

    @property
    def transaction_id(self) -> bytes:
        """What an answer has to repeat."""
        return self._message.transaction_id

    def __bytes__(self) -> bytes:
        """The request as it is sent, and sent again."""
        return bytes(self._message)

    def mapped_address(self, datagram: bytes) -> IPAddress | None:
        """The address that a datagram tells; None if it does not answer this request.

        Raises:
            StunRefusedError: It is the answer, and tells none.
        """
        from aioice import stun

        # The cookie is what tells STUN from anything else, and the codec doesn't look at it.
        if datagram[4:8] != _COOKIE:
            return None
        try:
            message = stun.parse_message(datagram)
        except (ValueError, struct.error):
            return None
        if message.transaction_id != self.transaction_id or message.message_method != stun.Method.BINDING:
            return None
        if message.message_class is stun.Class.ERROR:
            code, reason = message.attributes.get("ERROR-CODE", (None, "no reason"))
            raise StunRefusedError(f"the server refused: {code} {reason!r}")
        if message.message_class is not stun.Class.RESPONSE:
            return None
        for name in _MAPPED:
            if name in message.attributes:
                address = ip_address(message.attributes[name][0])
                if address.version != self._version:
                    raise StunRefusedError(f"the server told an address of another family: {address}")
                return address
        raise StunRefusedError("the server told no address")
