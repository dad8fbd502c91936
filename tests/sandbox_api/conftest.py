from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.parts.kubectl import Kubectl
from tests.sandbox_api.running import RunningApi


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    """One server a module; tests keep to namespaces of their own."""
    with RunningApi() as running:
        yield running


@pytest.fixture(scope="module")
def kubectl(api: RunningApi, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return Kubectl(api.kubeconfig(tmp_path_factory.mktemp("kubectl")))


@pytest.fixture
def space(api: RunningApi, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    name: str = request.node.name.replace("_", "-").replace("test-", "", 1)[:60].rstrip("-")
    api.namespace(name)
    return name
