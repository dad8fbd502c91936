"""HTTP to addresses that people configure (webhooks, servers of models): never into our own network by accident.

A name is resolved once, every address it has is judged, and the connection goes to the one that was judged: a name
that changes its mind between the two reaches nothing. Redirects are not followed, proxies of the environment are not
asked, and whoever hangs is left.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpcore
import httpx

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Where clouds tell a machine's credentials to whoever asks: link-local ones are refused as such anyway.
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254")))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
CONNECT_SECONDS = 4.0


class Refused(Exception):
    """The address may not be called; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Private places that may be called all the same. ``hosts``: names, lower-case; ``*``: every one. Addresses of
    machines' metadata and link-local ones are never among them."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IpNetwork, ...] = ()
    #: which setting lists them, for messages
    variable: str = "NOTIFICATION_ALLOW_PRIVATE"

    @classmethod
    def parse(cls, entries: Iterable[str], *, variable: str = "NOTIFICATION_ALLOW_PRIVATE") -> Allowed:
        """``10.1.0.0/16``, ``10.1.2.3`` or ``hooks.example.internal``. Raises ValueError for a garbled network."""
        hosts, networks = set(), []
        for entry in entries:
            text = entry.strip().lower()
            try:
                networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                if "/" in text or not text:
                    raise ValueError(f"{entry!r} is neither a network (10.1.0.0/16) nor a host name") from None
                hosts.add(text)
        return cls(frozenset(hosts), tuple(networks), variable)

    def has(self, host: str, address: IpAddress) -> bool:
        """Whether the host, or this very address, is among them."""
        if host.lower() in self.hosts or "*" in self.hosts:
            return True
        return any(address.version == network.version and address in network for network in self.networks)


NOTHING_PRIVATE = Allowed()


def why_refused(url: str, allowed: Allowed = NOTHING_PRIVATE, *, https_only: bool = False) -> str:
    """Why nothing may be sent to the URL; empty: it may. Resolves its name: for a check before somebody else's client
    makes the call. Where we make it, use `client`, which connects to what was checked."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "it is no URL"
    if parts.scheme not in (("https",) if https_only else ("http", "https")) or not parts.hostname:
        return "it has to be an https:// URL" if https_only else "it has to be an http:// or https:// URL"
    if parts.username or parts.password:
        return "it must not have a user name or a password in it"
    try:
        resolve(parts.hostname, port, allowed)
    except Refused as error:
        return str(error)
    except OSError as error:
        return f"{parts.hostname} has no address: {error.strerror or error}"
    return ""


def resolve(host: str, port: int, allowed: Allowed) -> list[str]:
    """The addresses of a host, all of them judged. Raises `Refused` if one may not be called, OSError if it has
    none."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for text in addresses:
        address = _plain(ipaddress.ip_address(text.partition("%")[0]))
        if reason := _problem(host, address, allowed):
            raise Refused(reason)
    return addresses


def client(allowed: Allowed = NOTHING_PRIVATE, *, timeout_seconds: float = 10.0) -> httpx.Client:
    """A client for one call or a few. Raises `Refused` (as the cause of httpx.ConnectError too) when it is called."""
    timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
    transport = _Transport(allowed)
    return httpx.Client(transport=transport, timeout=timeout, follow_redirects=False, trust_env=False)


def _plain(address: IpAddress) -> IpAddress:
    """The IPv4 address inside an IPv6 one, where it is only a wrapping."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return inner
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _problem(host: str, address: IpAddress, allowed: Allowed) -> str:
    if address in _METADATA or address.is_link_local or address.is_multicast or address.is_unspecified:
        return f"{host} is {address}, which is never called: addresses of that kind hold a machine's credentials"
    if address.is_global or allowed.has(host, address):
        return ""
    return f"{host} is {address}, a private address: add it to {allowed.variable} if that is meant"


class _Backend(httpcore.SyncBackend):
    """Connects to the addresses that were judged, whatever the name means a moment later."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = resolve(host, port, self._allowed)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} has no address: {error.strerror or error}") from error
        failure: Exception | None = None
        for address in addresses:
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(self, *args: object, **kwargs: object) -> httpcore.NetworkStream:
        raise Refused("Unix sockets are not called.")


class _Transport(httpx.HTTPTransport):
    """httpx's own, on our way to connect."""

    def __init__(self, allowed: Allowed) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=4,
            network_backend=_Backend(allowed),
        )
