"""Files that look-ups are made in, as the tests write them: MaxMind's format, and snapshots of PeeringDB."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GEOLITE_ASN: dict[str, dict[str, object]] = {
    "8.8.8.0/24": {"autonomous_system_number": 15169, "autonomous_system_organization": "EXAMPLE-SEARCH"},
    "8.0.0.0/9": {"autonomous_system_number": 3356, "autonomous_system_organization": "EXAMPLE-TRANSIT"},
    "2001:4860::/32": {"autonomous_system_number": 15169, "autonomous_system_organization": "EXAMPLE-SEARCH"},
}
GEOLITE_CITY: dict[str, dict[str, object]] = {
    "8.8.8.0/24": {
        "city": {"geoname_id": 1, "names": {"en": "Amsterdam", "de": "Amsterdam"}},
        "country": {"iso_code": "NL", "names": {"en": "Netherlands"}},
    },
    "8.8.9.0/24": {"country": {"iso_code": "DE"}},
}
IPINFO: dict[str, dict[str, object]] = {
    "8.8.8.0/24": {
        "asn": "AS15169",
        "as_name": "Example Search LLC",
        "as_domain": "search.example",
        "country": "United States",
        "country_code": "US",
        "continent": "North America",
    },
    "8.8.9.0/24": {"asn": "AS64500", "name": "Example", "country": "NL", "city": "Amsterdam"},
    "8.8.10.0/24": {"asn": "", "country": "nowhere", "city": ""},
}


def write_database(
    path: Path,
    records: Mapping[str, Mapping[str, object]],
    *,
    kind: str = "GeoLite2-ASN",
    ip_version: int = 6,
) -> Path:
    """Write a file in MaxMind's format."""
    writer = MMDBWriter(ip_version=ip_version, ipv4_compatible=ip_version == 6, database_type=kind)
    # A longer prefix has to be written after the one around it.
    for prefix in sorted(records, key=lambda text: int(text.partition("/")[2])):
        writer.insert_network(IPSet([prefix]), dict(records[prefix]))
    writer.to_db_file(str(path))
    return path


SNAPSHOT: dict[str, Any] = {
    "ix": {
        "data": [
            {"id": 26, "name": "EXAMPLE-IX", "city": "Amsterdam", "country": "NL", "status": "ok"},
            {"id": 31, "name": "OTHER-IX", "city": "", "country": "DE", "status": "ok"},
            {"id": 40, "name": "GONE-IX", "city": "Paris", "country": "FR", "status": "deleted"},
        ]
    },
    "ixlan": {
        "data": [
            {"id": 126, "ix_id": 26, "status": "ok"},
            {"id": 131, "ix_id": 31, "status": "ok"},
            {"id": 140, "ix_id": 40, "status": "ok"},
        ]
    },
    "ixpfx": {
        "data": [
            {"id": 1, "ixlan_id": 126, "protocol": "IPv4", "prefix": "80.249.208.0/21", "status": "ok"},
            {"id": 2, "ixlan_id": 126, "protocol": "IPv6", "prefix": "2001:7f8:1::/64", "status": "ok"},
            {"id": 3, "ixlan_id": 131, "protocol": "IPv4", "prefix": "80.249.212.0/24", "status": "ok"},
            {"id": 4, "ixlan_id": 140, "protocol": "IPv4", "prefix": "37.49.236.0/23", "status": "ok"},
        ]
    },
    "netixlan": {
        "data": [
            {
                "id": 1,
                "ixlan_id": 126,
                "asn": 64500,
                "ipaddr4": "80.249.208.7",
                "ipaddr6": "2001:7f8:1::a506:4500:1",
            },
            {"id": 2, "ixlan_id": 126, "asn": 64501, "ipaddr4": "80.249.208.8", "ipaddr6": None},
            {"id": 3, "ixlan_id": 126, "asn": 64502, "ipaddr4": "80.249.208.9", "status": "deleted"},
        ]
    },
}


def write_snapshot(path: Path, snapshot: object = SNAPSHOT) -> Path:
    """Write a snapshot of PeeringDB as one file."""
    path.write_text(json.dumps(snapshot), encoding="utf-8")
    return path
