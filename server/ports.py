"""Binds a listening port, and says beforehand why one cannot be bound. Listeners and starting programs call it."""

from __future__ import annotations

import os
import socket


def why_no_port(host: str, port: int) -> str:
    """Return the system's reason why a port cannot be bound, or "" if it can. The check itself does not listen."""
    try:
        bind(host, port).close()
    except OSError as wrong:
        return os.strerror(wrong.errno) if wrong.errno else str(wrong)
    return ""


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound and does not listen yet. IPv6 and IPv4 are apart. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
