"""The network that a client's address stands for, by which failed attempts and open connections are counted.

A client with one IPv6 address usually has a whole /64 network: 2^64 addresses. An IPv4 address stands for itself.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(address: str) -> Address | None:
    """Return an address as a value, or None if the text is no address."""
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def network_of(address: str) -> str:
    """Return the network of an address: the /64 of IPv6, the address itself of IPv4, also of IPv4 written as IPv6."""
    parsed = parse_address(address)
    if not isinstance(parsed, ipaddress.IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"
