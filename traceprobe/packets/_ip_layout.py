"""Where the fields of IPv4 and IPv6 headers stand, for whoever reads one."""

from __future__ import annotations

import struct
from typing import Final

IPV4_HEADER: Final = struct.Struct("!BBHHHBBHII")
"""RFC 791 section 3.1, without options; addresses as numbers, which become addresses fastest."""
IPV6_HEADER: Final = struct.Struct("!IHBBQQQQ")
"""RFC 8200 section 3; each address in two halves."""

MIN_IPV4_HEADER: Final = 20
IPV6_HEADER_SIZE: Final = 40
