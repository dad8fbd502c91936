"""Several worlds at a time, each in a process of its own: their time is virtual, so none disturbs another's.

Imports nothing of Django's: a process that is started anew loads this before it is set up.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recist_web.evaluation.foresight.run import Seen
    from recist_web.evaluation.foresight.worlds import World


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def played(worlds: Iterable[World], at_a_time: int) -> Iterator[tuple[World, Seen]]:
    """Each world with what it has shown in its life, in the order given."""
    chosen = list(worlds)
    with ProcessPoolExecutor(
        max(1, min(at_a_time, len(chosen))), mp_context=multiprocessing.get_context("spawn"), initializer=_set_up
    ) as pool:
        yield from zip(chosen, pool.map(_play, chosen), strict=True)


def _set_up() -> None:
    import django  # noqa: PLC0415 - see above

    django.setup()


def _play(world: World) -> Seen:
    from recist_web.evaluation.foresight.run import play  # noqa: PLC0415 - see above

    return play(world)
