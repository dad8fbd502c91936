"""Credentials that run out, plug-ins that fail, unknown certificates, proxies: said, and got over if possible."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from healing.cluster import credential_plugin, transport
from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.ports import errors
from tests.cluster import kubeconfig as kubeconfigs
from tests.cluster.sandbox import eventually
from tests.cluster.server import Answer, Request, Server
from tests.cluster.test_sources import tls_server

VERSION = Answer(200, {"gitVersion": "v1.30.0"})


def kubeconfig(directory: Path, server: str, user: dict[str, Any], **cluster: Any) -> Path:
    return kubeconfigs.write(directory / "kubeconfig", server, user, **cluster)


@pytest.fixture(autouse=True)
def _reload_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_RELOAD_AT_MOST_EVERY_SECONDS", 0.0)


def only(token: str) -> Any:
    """Lets in who has this token."""

    def handler(request: Request) -> Answer:
        if request.headers.get("authorization") == f"Bearer {token}":
            return VERSION
        return Answer(401, {"kind": "Status", "message": "Unauthorized", "reason": "Unauthorized", "code": 401})

    return handler


def plugin(directory: Path, *tokens: str) -> dict[str, Any]:
    """A plug-in that gives one token after the other; after the last one it fails."""
    script, counter = directory / "plugin.py", directory / "calls"
    script.write_text(
        "import json, pathlib, sys\n"
        f"counter, tokens = pathlib.Path({str(counter)!r}), {list(tokens)!r}\n"
        "calls = int(counter.read_text()) if counter.exists() else 0\n"
        "counter.write_text(str(calls + 1))\n"
        "if calls >= len(tokens): sys.exit('signed out')\n"
        "status = {'token': tokens[calls]}\n"
        "api = 'client.authentication.k8s.io/v1'\n"
        "print(json.dumps({'apiVersion': api, 'kind': 'ExecCredential', 'status': status}))\n"
    )
    api = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": api, "command": sys.executable, "args": [str(script)], "interactiveMode": "Never"}}


def connect(path: Path) -> KubernetesCluster:
    return KubernetesCluster(ClusterConfig(path), default_timeout_seconds=5.0)


def test_a_plug_in_is_asked_anew_when_its_token_is_refused(server: Server, tmp_path: Path) -> None:
    server.handler = only("first")
    cluster = connect(kubeconfig(tmp_path, server.url, plugin(tmp_path, "first", "second")))
    assert cluster.version() == "v1.30.0"
    server.handler = only("second")
    assert cluster.version() == "v1.30.0"
    assert (tmp_path / "calls").read_text() == "2"
    cluster.close()


def test_a_watch_gets_fresh_credentials_too(server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    cluster = connect(kubeconfig(tmp_path, server.url, {"tokenFile": str(token)}))
    server.handler = only("first")
    assert cluster.version() == "v1.30.0"
    token.write_text("second")

    def handler(request: Request) -> Answer:
        if request.headers.get("authorization") != "Bearer second":
            return Answer(401, {"kind": "Status", "code": 401})
        event = {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "9"}}}
        return Answer(200, chunks=[json.dumps(event).encode() + b"\n"])

    server.handler = handler
    assert [event.type for event in cluster.watch("Pod", resource_version="1", timeout_seconds=10.0)] == ["BOOKMARK"]
    cluster.close()


def test_a_plug_in_that_gives_nothing_is_named_and_not_run_for_every_call(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_RELOAD_AT_MOST_EVERY_SECONDS", 60.0)
    cluster = connect(kubeconfig(tmp_path, server.url, plugin(tmp_path)))
    for _ in range(3):
        with pytest.raises(errors.Unauthorized, match=r"plug-in for credentials gave none: .*plugin\.py.*by hand"):
            cluster.version()
    assert (tmp_path / "calls").read_text() == "1"
    assert server.requests == []
    cluster.close()


def test_credentials_that_stay_refused_say_where_to_renew_them(server: Server, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, server.url, {"token": "old"})
    server.handler = only("new")
    cluster = connect(path)
    with pytest.raises(errors.Unauthorized, match=rf"(?s)credentials of the kubeconfig {path} are refused.*Renew them"):
        cluster.version()
    assert len(server.requests) == 2  # once more with what was read anew, and no more
    kubeconfig(tmp_path, server.url, {"token": "new"})
    os.utime(path, (1, 1))
    assert cluster.version() == "v1.30.0"
    cluster.close()


def test_a_proxy_of_the_kubeconfig_is_used(server: Server, tmp_path: Path) -> None:
    server.answer(VERSION)
    path = kubeconfig(tmp_path, "http://cluster.invalid:6443", {"token": "t"}, **{"proxy-url": server.url})
    cluster = connect(path)
    assert cluster.version() == "v1.30.0"
    assert server.requests[0].headers["host"] == "cluster.invalid:6443"
    cluster.close()


def test_a_proxy_that_is_away_is_said(server: Server, tmp_path: Path) -> None:
    server.close()
    path = kubeconfig(tmp_path, "http://cluster.invalid:6443", {"token": "t"}, **{"proxy-url": server.url})
    cluster = connect(path)
    with pytest.raises(errors.Unavailable, match="proxy"):
        cluster.version(timeout_seconds=1.0)
    cluster.close()


def test_a_certificate_that_nobody_knows_says_what_to_look_at(tmp_path: Path) -> None:
    with tls_server(tmp_path) as (url, certificate):
        cluster = connect(kubeconfig(tmp_path, url, {"token": "t"}))
        with pytest.raises(errors.Unavailable, match=r"not trusted .*certificate-authority\(-data\)"):
            cluster.version(timeout_seconds=10.0)
        cluster.close()
        named = url.replace("127.0.0.1", "localhost")
        cluster = connect(kubeconfig(tmp_path, named, {"token": "t"}, **{"certificate-authority": str(certificate)}))
        with pytest.raises(errors.Unavailable, match=r"for another name .*tls-server-name"):
            cluster.version(timeout_seconds=10.0)
        cluster.close()


def test_a_flapping_server_is_got_over(server: Server, tmp_path: Path) -> None:
    """Reset, 503, 429 with Retry-After, a cut answer; then it answers."""
    troubles = itertools.chain(
        [
            Answer(hang_up=True),
            Answer(503, {"kind": "Status", "code": 503}),
            Answer(429, {"kind": "Status", "code": 429}, headers={"Retry-After": "1"}),
        ],
        itertools.repeat(VERSION),
    )
    server.handler = lambda request: next(troubles)
    cluster = connect(kubeconfig(tmp_path, server.url, {"token": "t"}))
    assert cluster.version(timeout_seconds=8.0) == "v1.30.0"
    assert len(server.requests) == 4
    cluster.close()


def hanging_plugin(directory: Path, seconds: int = 600) -> dict[str, Any]:
    """It starts another process and waits for it, as wrappers of sign-in tools do; both write down who they are."""
    script, pids = directory / "hangs.sh", directory / "pids"
    # A shell is there at once, however busy the machine is.
    script.write_text(f"sleep {seconds} &\necho $$ $! > '{pids}'\nwait\n")
    api = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": api, "command": "sh", "args": [str(script)], "interactiveMode": "Never"}}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_plug_in_that_hangs_is_stopped_with_all_it_started_and_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credential_plugin, "PLUGIN_SECONDS", 1.0)
    monkeypatch.setattr(transport, "_RELOAD_AT_MOST_EVERY_SECONDS", 60.0)
    cluster = connect(kubeconfig(tmp_path, server.url, hanging_plugin(tmp_path)))
    started = time.monotonic()
    with pytest.raises(
        errors.Unauthorized, match=r"gave none: .*hangs\.sh \(it did not end within 1 s and was stopped"
    ):
        cluster.version()
    assert time.monotonic() - started < 60.0
    eventually(lambda: not any(is_running(int(pid)) for pid in (tmp_path / "pids").read_text().split()))
    assert server.requests == []
    cluster.close()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit('please sign in again')", r"exit code 1: please sign in again"),
        ("print('welcome')", "is not JSON"),
        ("print('{}')", "no ExecCredential"),
        ("""print('{"apiVersion": "client.authentication.k8s.io/v1beta1", "status": {"token": "t"}}')""", "asks for"),
    ],
)
def test_what_a_plug_in_did_wrong_is_said(server: Server, tmp_path: Path, script: str, said: str) -> None:
    (tmp_path / "plugin.py").write_text(script)
    api = "client.authentication.k8s.io/v1"
    user = {"exec": {"apiVersion": api, "command": sys.executable, "args": [str(tmp_path / "plugin.py")]}}
    cluster = connect(kubeconfig(tmp_path, server.url, user))
    with pytest.raises(errors.Unauthorized, match=said):
        cluster.version()
    cluster.close()


def test_a_plug_in_that_is_not_installed_is_named(server: Server, tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-sign-in-tool"}}
    cluster = connect(kubeconfig(tmp_path, server.url, user))
    with pytest.raises(errors.Unauthorized, match=r"no-such-sign-in-tool \(it cannot be started"):
        cluster.version()
    cluster.close()


def test_a_token_that_expires_in_the_middle_is_replaced_without_anybody_noticing(
    server: Server, tmp_path: Path
) -> None:
    """Reads, writes and watches go on, through three tokens; a write is not sent twice."""
    tokens = [f"token-{number}" for number in range(4)]
    cluster = connect(kubeconfig(tmp_path, server.url, plugin(tmp_path, *tokens)))
    valid, written = {"token": tokens[0]}, []

    def handler(request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {valid['token']}":
            return Answer(401, {"kind": "Status", "message": "Unauthorized", "reason": "Unauthorized", "code": 401})
        if request.method == "PATCH":
            written.append(request.path)
        if "watch" in request.query:
            event = {"type": "ADDED", "object": {"kind": "Pod", "metadata": {"name": "web", "resourceVersion": "9"}}}
            return Answer(200, chunks=[json.dumps(event).encode() + b"\n"])
        return Answer(200, {"kind": "Pod", "metadata": {"name": "web", "resourceVersion": "1"}})

    server.handler = handler
    assert cluster.get("Pod", "shop", "web")["metadata"]["name"] == "web"
    valid["token"] = tokens[1]
    cluster.patch("Pod", "shop", "web", {"metadata": {"labels": {"a": "b"}}})
    assert len(written) == 1
    valid["token"] = tokens[2]
    [seen] = cluster.watch("Pod", "shop", resource_version="1", timeout_seconds=10.0)
    assert seen.type == "ADDED"
    valid["token"] = tokens[3]
    assert cluster.get("Pod", "shop", "web")
    assert (tmp_path / "calls").read_text() == "4"
    cluster.close()
