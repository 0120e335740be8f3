"""The network that a client's address stands for, by which failed attempts and open connections are counted.

A client with one IPv6 address usually has a whole /64 network: 2^64 addresses. A site has a /48: 65,536 of these. An
IPv4 address stands for itself.
"""

from __future__ import annotations

import ipaddress
import re

_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d+)?|(?P<v4>[\d.]+):\d+")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(address: str) -> Address | None:
    """Return an address as a value, without the port that a proxy may add to it; None if the text is no address.

    IPv4 written as IPv6 (::ffff:192.0.2.1) is IPv4.
    """
    port = _WITH_PORT.fullmatch(address)
    try:
        parsed = ipaddress.ip_address((port["v6"] or port["v4"]) if port else address)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, ipaddress.IPv6Address) else parsed


def network_of(address: str) -> str:
    """Return the network of an address: the /64 of IPv6, the address itself of IPv4, also of IPv4 written as IPv6."""
    return networks_of(address)[0]


def networks_of(address: str) -> tuple[str, ...]:
    """Return the networks of an address, the smallest first: the /64 and the /48 of IPv6, the address itself of
    IPv4."""
    parsed = parse_address(address)
    if not isinstance(parsed, ipaddress.IPv6Address):
        return (str(parsed or address),)
    return tuple(f"{ipaddress.IPv6Address(int(parsed) >> 128 - bits << 128 - bits)}/{bits}" for bits in (64, 48))
