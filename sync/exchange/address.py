"""The addresses of servers and proxies: parsing, one spelling for an origin, and where plain http is allowed.

Both clients and the server's settings use it. It opens no connection.
"""

import ipaddress

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from sync.errors import SyncError

PORTS = {"http": 80, "https": 443}
_LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))


def parse_address(url: str) -> Url:
    """Parse a server's URL. Raise SyncError `transport.bad_address` if it is not http(s)://host[:port]."""
    try:
        address = parse_url(url)
        host = (address.host or "").encode("idna")  # This raises for empty and too long labels.
    except (LocationParseError, UnicodeError) as problem:
        raise _bad_address(url) from problem
    if address.scheme not in PORTS or not host or address.auth:
        raise _bad_address(url)
    return address


def parse_proxy(url: str) -> Url:
    """Parse a proxy's URL. Raise SyncError `transport.bad_address` if it is not http://host:port."""
    address = parse_address(url)
    if address.scheme != "http" or not address.port or (address.path or "/") != "/" or address.query:
        raise SyncError("transport.bad_address", "a proxy is named by http://host:port, without name or password")
    return address


def origin_of(url: str) -> str:
    """Return scheme, host and port in their one spelling: `https://host:443`. A path does not count.

    Raise SyncError `transport.bad_address` as `parse_address`.
    """
    address = parse_address(url)
    return f"{address.scheme}://{str(address.host).rstrip('.')}:{port_of(address)}"


def port_of(address: Url) -> int:
    """Return the port of an address, or the one of its scheme."""
    return address.port or PORTS[str(address.scheme)]


def is_loopback(address: Url) -> bool:
    """Whether the address is this machine: 127.0.0.0/8, ::1 or localhost, and no other spelling of them."""
    host = str(address.host).strip("[]")
    try:
        return any(ipaddress.ip_address(host) in network for network in _LOOPBACK)
    except ValueError:
        return host == "localhost"


def require_private(url: str, proxy: str = "") -> None:
    """Raise SyncError `transport.plain_http` if others could read what a client sends to `url`.

    Plain http is private inside this machine only, and not through a proxy, for which 127.0.0.1 is another machine.
    """
    address = parse_address(url)
    if address.scheme == "http" and (proxy or not is_loopback(address)):
        raise SyncError(
            "transport.plain_http",
            f"{address.netloc} would get this over http, which others can read; use https. Only this machine itself"
            " (127.0.0.1, without a proxy) may be asked over http",
        )


def _bad_address(url: str) -> SyncError:
    return SyncError("transport.bad_address", f"{url} is not of the form http://host:port or https://host")
