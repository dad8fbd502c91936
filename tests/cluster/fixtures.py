"""Fixtures of a running sandbox, for the packages that ask for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from healing.cluster.kubernetes import KubernetesCluster
from tests.cluster.sandbox import RunningSandbox, running_sandbox

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """One sandbox for all tests of this process; each makes a namespace of its own."""
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


@pytest.fixture
def live(sandbox: RunningSandbox) -> Iterator[KubernetesCluster]:
    """A connection to the sandbox."""
    cluster = sandbox.connect()
    yield cluster
    cluster.close()


@pytest.fixture
def namespace(live: KubernetesCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace. Names of tests are cut, and a former one's namespace may still be going: hence a number."""
    words = "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:50].strip("-")
    name = f"t-{words}-{next(_numbers)}"
    live.create("Namespace", "", {"metadata": {"name": name}})
    yield name
    live.delete("Namespace", "", name)
