"""Parses hosts and origins: the address at which a browser reached the page, and the page that sent a request."""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, NamedTuple

from ..errors import InvalidInputError, InvalidTypeError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9_-][a-z0-9._-]{0,252}))(?::([0-9]{1,5}))?", re.ASCII)
_ORIGIN = re.compile(r"(https?)://([^/?#]*)", re.ASCII)


class Place(NamedTuple):
    """A host, without brackets, and its port, or None."""

    host: str
    port: int | None


def read_host(text: str) -> Place | None:
    """Host and port of a `Host` header; None if it is not valid. Case and a dot at the end do not matter."""
    found = _HOST.fullmatch(text.lower())
    if found is None:
        return None
    address, name, port = found.groups()
    host = _plain_address(address) if address else name.removesuffix(".")
    return Place(host, int(port) if port else None) if host else None


def read_origin(text: str) -> Place | None:
    """Host and port of an `Origin` header or a URL; None if it has none, as `null`."""
    found = _ORIGIN.match(text.lower())
    place = read_host(found[2]) if found else None
    if found is None or place is None:
        return None
    return Place(place.host, place.port or DEFAULT_PORTS[found[1]])


def same_place(origin: Place, host: Place, origin_text: str) -> bool:
    """Whether an origin is the page at this host; a host without a port has that of the origin's scheme."""
    default = DEFAULT_PORTS["https" if origin_text.lower().startswith("https:") else "http"]
    return origin.host == host.host and origin.port == (host.port or default)


def own_host(name: Any) -> str | None:
    """The host in a server's name or address (IPv6 with or without brackets); None if there is none."""
    if not isinstance(name, str):
        return None
    place = read_host(f"[{name}]" if ":" in name and _plain_address(name) else name)
    return place.host if place is not None else None


def is_address(host: str | None) -> bool:
    """Whether a host is an IP address, which no other site can have as its own name."""
    return bool(host and _plain_address(host))


def read_names(names: Iterable[str]) -> frozenset[str]:
    """Checks the names of hosts that are allowed; ports are left out.

    Raises:
        InvalidTypeError: it is one text and not several, or holds something else than texts.
        InvalidInputError: one is not the name or the address of a host.
    """
    if isinstance(names, str):
        raise InvalidTypeError(f"allowed_hosts is a list of hosts; write [{names!r}].")
    return frozenset(_read_name(name) for name in names)


def _read_name(name: Any) -> str:
    if not isinstance(name, str):
        raise InvalidTypeError(f"allowed_hosts must be a list of strings; {name!r} is not one.")
    host = own_host(name) or own_host(_punycode(name))
    if host is None:
        raise InvalidInputError(
            f"{name!r} is not the name of a host. Write it as in a browser's address bar between http:// and the next "
            "/, for example demo.example.org or 192.168.1.5."
        )
    return host


def _punycode(name: str) -> str:
    """A name as browsers send it, in ASCII."""
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return ""


def _plain_address(text: str) -> str:
    """An IP address in its shortest form, IPv4 inside of IPv6 as IPv4; empty if it is no address."""
    try:
        address = ip_address(text)
        return (getattr(address, "ipv4_mapped", None) or address).compressed
    except ValueError:
        return ""
