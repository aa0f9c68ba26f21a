"""Routes: what the kernel says of one, and what is said where it says nothing."""

from __future__ import annotations

import errno
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from traceprobe.config import AddressFamily, TracerouteConfig
from traceprobe.errors import ConfigError, SendError
from traceprobe.model import Probe, make_probe_id
from traceprobe.sockets._routes import Routes

if TYPE_CHECKING:
    from ipaddress import IPv6Address

    from traceprobe.sockets._routes import Route

THERE = IPv4Address("192.0.2.9")
HERE = IPv4Address("192.0.2.1")


def route_where(find: Exception | None = None, pack: Exception | None = None) -> Route:
    def find_source(destination: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
        if find is not None:
            raise find
        return HERE

    def pack_name(destination: IPv4Address | IPv6Address) -> bytes:
        if pack is not None:
            raise pack
        return b"name"

    routes = Routes(AddressFamily.IPV4, TracerouteConfig(), find_source, pack_name)
    ((route, run),) = routes.runs([Probe(make_probe_id(1, 0), THERE, 7, 1)])
    assert len(run) == 1
    return route


def test_a_route_has_a_source() -> None:
    route = route_where()
    assert (route.destination, route.name, route.source, route.error) == (THERE, b"name", HERE, None)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENETUNREACH])
def test_a_refusal_keeps_its_number(number: int) -> None:
    error = route_where(OSError(number, "words")).error
    assert isinstance(error, SendError)
    assert (error.code, error.detail) == (number, str(THERE))


@pytest.mark.parametrize("refusal", [OSError("the table is being rebuilt"), OSError(0, "the table")])
def test_a_refusal_without_a_number_suggests_no_reason(refusal: OSError) -> None:
    """Least of all that of a firewall or of missing privileges."""
    error = route_where(refusal).error
    assert isinstance(error, SendError)
    assert (error.code, error.remedy) == (errno.EIO, None)
    assert str(THERE) in error.detail
    assert "the table" in error.detail


def test_what_has_no_interface_says_so() -> None:
    for refusal, number in (
        (OSError("no such zone"), errno.ENXIO),
        (OSError(errno.ENODEV, ""), errno.ENODEV),
    ):
        route = route_where(pack=refusal)
        assert isinstance(route.error, SendError)
        assert (route.name, route.source, route.error.code) == (b"", None, number)


def test_what_was_checked_may_be_gone() -> None:
    error = route_where(ConfigError("interface", "eth7", "an interface of this machine")).error
    assert isinstance(error, SendError)
    assert error.code == errno.ENODEV
    assert "eth7" in error.detail
