"""Where we may be sent to: never into our own network by accident."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest
from hypothesis import given, strategies as st

from healing import safe_http
from healing.safe_http import Allowed, Refused
from tests.notifications.receiver import Receiver

PUBLIC = "93.184.216.34"


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names resolve to these addresses, one answer after another; returns the names that were asked for."""
    asked, left = [], list(answers)

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> Any:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fd00:ec2::254",
        "fe80::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a01:203",
        "2002:7f00:1::",
    ],
)
def test_addresses_of_our_own_are_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    resolving(monkeypatch, [address])
    assert safe_http.why_refused("https://hooks.example.com/x")
    with safe_http.client() as client, pytest.raises(Refused):
        client.get("https://hooks.example.com/x")


def test_one_bad_address_of_many_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, [PUBLIC, "10.0.0.1"])
    assert "private address" in safe_http.why_refused("https://hooks.example.com/x")


def test_a_public_address_may_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, [PUBLIC])
    assert safe_http.why_refused("https://hooks.example.com/x") == ""


@pytest.mark.parametrize("entry", ["10.0.0.0/8", "10.1.2.3", "hooks.internal", "*"])
def test_private_places_can_be_allowed(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    resolving(monkeypatch, ["10.1.2.3"])
    assert safe_http.why_refused("http://hooks.internal/x", Allowed.parse([entry])) == ""
    assert safe_http.why_refused("http://hooks.internal/x", Allowed.parse(["10.9.0.0/16", "other.internal"]))


@pytest.mark.parametrize("entry", ["169.254.0.0/16", "169.254.169.254", "hooks.internal", "*"])
def test_metadata_is_never_allowed(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    resolving(monkeypatch, ["169.254.169.254"])
    assert safe_http.why_refused("http://hooks.internal/x", Allowed.parse([entry]))


def test_a_name_that_changes_its_mind_reaches_nothing(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """First a public address, for whoever checks; then ours, for whoever connects."""
    port = int(receiver.url.rpartition(":")[2])
    asked = resolving(monkeypatch, [PUBLIC], ["127.0.0.1"])
    assert safe_http.why_refused(f"http://rebound.example:{port}/x") == ""
    with safe_http.client() as client, pytest.raises(Refused):
        client.post(f"http://rebound.example:{port}/x", content=b"{}")
    assert asked == ["rebound.example", "rebound.example"]
    assert receiver.got == []


def test_the_connection_goes_to_the_address_that_was_judged(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    port = int(receiver.url.rpartition(":")[2])
    asked = resolving(monkeypatch, ["127.0.0.1"])
    with safe_http.client(Allowed.parse(["hooks.example"])) as client:
        assert client.post(f"http://hooks.example:{port}/x", content=b"{}").status_code == 200
    assert asked.count("hooks.example") == 1
    assert receiver.got[0].headers["Host"] == f"hooks.example:{port}"


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with safe_http.client(Allowed.parse(["127.0.0.1"])) as client:
        assert client.post(f"{receiver.url}/x", content=b"{}").status_code == 200


@pytest.mark.parametrize(
    "url", ["ftp://example.com", "file:///etc/passwd", "http://", "https://user:pw@example.com/", "http://a:b:c/", "x"]
)
def test_what_is_no_address_of_the_web(url: str) -> None:
    assert safe_http.why_refused(url)


@given(st.text(max_size=60))
def test_no_text_ends_in_an_exception(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        resolving(patch, ["10.0.0.1"])
        assert safe_http.why_refused(text)
        assert safe_http.why_refused(f"https://{text}/") or text


def test_an_unknown_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert "has no address" in safe_http.why_refused("https://nowhere.example/")
    with safe_http.client() as client, pytest.raises(httpx.ConnectError):
        client.get("https://nowhere.example/")
