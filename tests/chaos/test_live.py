"""The most telling disturbances, SIGTERM and readiness, on one running product.

One test, so that pytest-xdist does not start the product once for each step: starting takes longer than most of them.
`manage.py bench --only chaos` runs all disturbances, with more in flight.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from recist_web.bench.section import CannotMeasureError
from tests.chaos import disturbances, graceful
from tests.chaos.arena import Arena
from tests.chaos.drill import Disturbance, drill
from tests.parts.plugin import Parts

pytestmark = [pytest.mark.tree, pytest.mark.timeout(600)]

CHOSEN = (
    Disturbance("workers killed", disturbances.killed(*disturbances.WORKERS, at_work=True)),
    Disturbance("leader stopped, then goes on", disturbances.leader_stopped),
    Disturbance("Valkey killed", disturbances.valkey_restarted),
    Disturbance("PostgreSQL crashed", disturbances.postgres_restarted(3)),
    Disturbance("API server gone for 8 s", disturbances.behind("api", "refuse", 8)),
    Disturbance("clocks ten minutes apart", disturbances.clocks_apart(600.0, 12)),
)
STEPS = (
    graceful.workers_finish_or_hand_back,
    graceful.watcher_gives_the_lease_back,
    graceful.web_answers_what_it_has_begun,
    graceful.readyz_says_what_is_missing,
    graceful.signs_of_life_tell_the_truth,
)


def nothing_is_lost(arena: Arena, disturbance: Disturbance, prefix: str, says: Callable[[str], None]) -> None:
    row = drill(arena, disturbance, workloads=2, prefix=prefix, patience_seconds=120)
    says(row.as_line())
    assert row.in_flight > 0
    assert not row.problems, row.problems
    assert not row.handed_over, row.handed_over
    assert row.recovery_seconds is not None, "not everything ended"


def test_the_product_survives_what_breaks(test_parts: Parts, says: Callable[[str], None]) -> None:
    """Every step is run, whatever the ones before it found; all that is wrong is said at the end."""
    wrong: list[str] = []
    with Arena(test_parts.directory / "chaos") as arena:

        def step(name: str, act: Callable[[], None]) -> None:
            began = time.monotonic()
            try:
                act()
            except (AssertionError, CannotMeasureError) as error:
                wrong.append(f"{name}: {error}\n{arena.last_words()}")
            says(f"{name}: {time.monotonic() - began:.0f} s")

        for number, disturbance in enumerate(CHOSEN):
            step(disturbance.name, lambda d=disturbance, n=number: nothing_is_lost(arena, d, f"t{n}", says))  # type: ignore[misc]
        for act in STEPS:
            step(act.__name__, lambda a=act: a(arena))  # type: ignore[misc]
    assert not wrong, "\n\n".join(wrong)
