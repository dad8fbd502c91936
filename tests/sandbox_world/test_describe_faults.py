"""`kubectl describe` and `kubectl get` of each bundled fault's pod say what the recordings say of that kind."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from healing.sandbox.faults import FAULTS
from healing.sandbox.virtual_time import run_virtual
from tests.sandbox_world.described import Museum
from tests.sandbox_world.fault_rows import ROWS
from tests.sandbox_world.faults_shown import Evicted, Exhibit, Row, Shop
from tests.sandbox_world.shapes import Shape, shape


@dataclass
class Shown:
    exhibits: dict[str, Exhibit]
    shapes: dict[str, Shape]
    rows: dict[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shown, Shown]]:
    """(recorded, here), by name of the row."""
    together = [row for row in ROWS if not row.alone]
    ours: dict[str, Exhibit] = {}
    for rows in ([together] if together else []) + [[row] for row in ROWS if row.alone]:
        shop = Shop(rows, tmp_path_factory.mktemp("shop"))
        run_virtual(shop.run())
        ours |= shop.exhibits
    recorded = {row.name: row.recorded.exhibit() for row in ROWS}
    museums = [Museum(tmp_path_factory.mktemp("kubectl")) for _ in range(2)]
    try:
        yield _in_museum(museums[0], recorded), _in_museum(museums[1], ours)
    finally:
        for museum in museums:
            museum.close()


def _in_museum(museum: Museum, exhibits: dict[str, Exhibit]) -> Shown:
    for name, exhibit in exhibits.items():
        museum.show(name, [("pods", exhibit.pod), *(("events", event) for event in exhibit.events)])
    texts, rows = museum.describe_pods(), museum.get_pods()
    return Shown(
        exhibits,
        {name: shape(texts[name][0], exhibit.pod) for name, exhibit in exhibits.items()},
        {name: found[0] for name, found in rows.items()},
    )


def expected(row: Row, recorded: Shape) -> tuple[list[str], list[str]]:
    """What the fault's pod should say, and its events: as recorded, but for what says something else."""
    events = [" | ".join(event) for event in recorded.events]
    if isinstance(row.recorded, Evicted):
        message = row.recorded.message
        events += [f"Warning | Evicted | kubelet | {message}", "Normal | Killing | kubelet | Stopping container NAME"]
        return [
            "Status: Failed", "Reason: Evicted", f"Message: {message}", "State: Terminated", "  Reason: Completed",
            "  Exit Code: 0", "Ready: False", "Restart Count: 0", "Type Status", "DisruptionTarget True",
            "PodReadyToStartContainers False", "Initialized True", "Ready False", "ContainersReady False",
            "PodScheduled True",
        ], sorted(events)  # fmt: skip

    def said(line: str) -> str:
        for word, other in row.instead.items():
            line = line.replace(word, other)
        return line

    return [said(line) for line in recorded.says], sorted(said(event) for event in events)


def test_every_bundled_fault_has_a_row() -> None:
    assert {row.fault for row in ROWS} == set(FAULTS)
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_describe_says_what_was_recorded(shown: tuple[Shown, Shown], row: Row) -> None:
    recorded, here = shown
    says, events = expected(row, recorded.shapes[row.name])
    seen = sorted({" | ".join(event) for event in here.shapes[row.name].events} - set(row.also))
    difference = list(difflib.unified_diff([*says, *events], [*here.shapes[row.name].says, *seen], n=0, lineterm=""))
    assert not difference, "\n".join(difference)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_events_come_in_the_recorded_order(shown: tuple[Shown, Shown], row: Row) -> None:
    recorded, here = (side.exhibits[row.name].first_seen() for side in shown)
    if isinstance(row.recorded, Evicted):
        recorded += ["Evicted", "Killing"]
    assert [reason for reason in here if reason in recorded] == [reason for reason in recorded if reason in here]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_get_shows_what_was_recorded(shown: tuple[Shown, Shown], row: Row) -> None:
    recorded, here = (side.rows[row.name] for side in shown)
    ready, status, restarts = recorded
    if isinstance(row.recorded, Evicted):
        ready, status = "0/1", "Completed"
    assert (*here[:2], here[2] == "0") == (ready, status, restarts == "0")
