from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox_api.running import RunningApi


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    """One server a module; tests keep to namespaces of their own."""
    with RunningApi() as running:
        yield running
