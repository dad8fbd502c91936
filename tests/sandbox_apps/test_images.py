"""Image names, what registries answer, and the catalogue's definitions."""

from __future__ import annotations

from typing import Any

import pytest

from healing.sandbox.apps import AppRuntime
from healing.sandbox.apps.images import Catalogue, parse_image
from healing.sandbox.apps.program import CallSpec, DefinitionError, Program, apply_changes

MI = 1 << 20


@pytest.mark.parametrize(
    ("reference", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("acme/api:v1", "docker.io/acme/api:v1"),
        ("ghcr.io/acme/api:v1", "ghcr.io/acme/api:v1"),
        ("localhost:5000/api", "localhost:5000/api:latest"),
        ("UPPER:1", None),
        ("nginx:", None),
        ("a b", None),
        ("nginx:bad/tag", None),
    ],
)
def test_image_names(reference: str, full: str | None) -> None:
    image = parse_image(reference)
    assert (None if image is None else str(image)) == full


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("nginx:1.27-alpine", ""),
        ("ghcr.io/acme/api:v1.2.3", ""),
        ("registry.local/web:9.9-nope", "registry.local/web:9.9-nope: not found"),
        ("nginx:1.99", "docker.io/library/nginx:1.99: not found"),
        ("ngnix:1.27", "pull access denied, repository does not exist or may require authorization"),
        ("registry.exmaple.org/a/b:1.0", "dial tcp: lookup registry.exmaple.org on 10.96.0.10:53: no such host"),
        ("down.example.com/a:1", "dial tcp 192.0.2.10:443: connect: connection refused"),
        ("private.example.com/a:1", "401 Unauthorized"),
        ("Nginx", "invalid reference format"),
    ],
)  # fmt: skip
def test_pulls(reference: str, error: str) -> None:
    result = AppRuntime().pull(reference)
    assert result.ok == (error == "")
    assert error in result.error


def test_credentials_open_a_private_registry() -> None:
    assert AppRuntime().pull("private.example.com/a:1", authorized=True).ok


def test_a_published_image_can_be_pulled() -> None:
    catalogue = Catalogue.bundled()
    assert not catalogue.pull("nginx:7.7").ok
    catalogue.publish("nginx:7.7", Program(name="new"))
    assert catalogue.pull("nginx:7.7").ok
    assert AppRuntime(catalogue=catalogue).catalogue.find("docker.io/library/nginx:7.7") == Program(name="new")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"program": {}}, "catalogue.program: unknown section"),
        ({"programs": {"a": {"langage": "go"}}}, "catalogue.programs.a.langage: unknown field"),
        ({"programs": {"a": {"language": "cobol"}}}, "'cobol' is none of go, java"),
        ({"programs": {"a": {"base_memory": "lots"}}}, "'lots' is not a size"),
        ({"programs": {"a": {"startup_seconds": "1"}}}, "expected float"),
        ({"programs": {"a": {"calls": [{"envv": "X"}]}}}, "calls[0].envv: unknown field"),
        ({"programs": {"a": {"extends": "b"}}}, "no program named 'b'"),
        ({"registries": {"h": "closed"}}, "'closed' is none of open, private, unreachable"),
        ({"repositories": {"h.example.com/a": {"1": "nobody"}}}, "no program named 'nobody'"),
    ],
)
def test_bad_definitions_are_refused_with_their_place(data: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Catalogue.bundled().extend(data, "catalogue")
    assert words in str(caught.value)


def test_definitions_are_read() -> None:
    changes = {
        "base_memory": "64Mi",
        "leak_per_second": "1Mi",
        "memory_per_request": "2Ki",
        "calls": [{"env": "A_URL"}],
    }
    program = apply_changes(Program(), changes, "x")
    assert (program.base_memory_bytes, program.leak_bytes_per_second) == (64 * MI, MI)
    assert program.memory_bytes_per_request == 2048
    assert program.calls == (CallSpec(env="A_URL"),)
