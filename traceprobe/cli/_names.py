"""What the commands and options are called, and which field of the configuration each option sets.

Stands apart from the parser, which is loaded only for command lines that need it.
"""

from __future__ import annotations

from typing import Final

COMMANDS: Final = ("trace", "doctor", "demo")

FIELDS: Final = {
    "family": "family",
    "protocol": "protocol",
    "port": "port",
    "first_ttl": "first_ttl",
    "max_ttl": "max_ttl",
    "queries": "queries",
    "retries": "retries",
    "gap_limit": "gap_limit",
    "stop_on_loop": "stop_on_loop",
    "timeout": "probe_timeout",
    "overall_timeout": "overall_timeout",
    "max_in_flight": "max_in_flight",
    "send_interval": "send_interval",
    "source": "source",
    "interface": "interface",
    "packet_size": "packet_size",
    "source_port": "source_port",
    "dont_fragment": "dont_fragment",
    "dscp": "dscp",
    "ecn": "ecn",
    "flow_label": "flow_label",
    "payload_pattern": "payload_pattern",
    "mark": "mark",
    "receive_all": "receive_all",
    "flow": "flow",
    "mode": "mode",
}
"""Which option sets which field of ``TraceOptions``."""

SPELLINGS: Final = {field: "--" + option.replace("_", "-") for option, field in FIELDS.items()} | {
    "family": "-4/-6",
    "stop_on_loop": "--past-loops",
    "protocol": "--icmp/--udp/--tcp",
    "target": "TARGET",
    "dns_servers": "--resolver",
    "databases": "--asn-db",
    "exchange_snapshot": "--ixp-db",
    "own_addresses": "--own-address",
    "public_address": "--public-address",
}
"""What sets a field, as it is written on the command line."""
