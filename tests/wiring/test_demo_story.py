"""What `make demo` promises: faults are healed while one watches, and one of them waits for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.parts.live_tree import LiveTree
from tests.parts.plugin import Parts

pytestmark = [pytest.mark.tree, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def demo(test_parts: Parts) -> Iterator[LiveTree]:
    with LiveTree(test_parts.directory / "demo", test_parts.new_database("demo"), faults=True) as tree:
        yield tree


def items(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    response = client.get(f"/api/v1/{path}")
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


def test_three_faults_are_healed_one_of_them_by_an_approval(demo: LiveTree) -> None:
    with demo.http("approver") as client:

        def proposal() -> dict[str, Any] | None:
            return next((item for item in items(client, "approvals") if item["state"] == "open"), None)

        approval = demo.wait_for(proposal, "a proposal waits for a person", seconds=150)
        answer = client.post(
            f"/api/v1/approvals/{approval['id']}/approve", json={"digest": approval["digest"], "comment": "go on"}
        )
        assert answer.status_code == 200, answer.text

        def healed() -> set[str]:
            return {event["name"] for event in items(client, "events") if event["outcome"] == "healed"}

        demo.wait_for(lambda: approval["event"] in healed(), "what was approved is healed", seconds=90)
        demo.wait_for(lambda: len(healed()) >= 3, "three faults are healed", seconds=150)
        names = healed()

    def in_the_cluster() -> set[str]:
        rows = [line.split() for line in demo.kubectl("get", "he", "--all-namespaces").splitlines()[1:]]
        return {row[1] for row in rows if "healed" in row}

    demo.wait_for(lambda: names <= in_the_cluster(), "the HealingEvents tell the same story", seconds=20)
