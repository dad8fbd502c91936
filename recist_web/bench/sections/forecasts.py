"""How many of the limits that are reached were foretold, how long before, and how many warnings were wrong."""

from __future__ import annotations

import itertools
import time

from healing.forecasting.model import MINUTES
from recist_web.bench.section import Bench, Number, Result, quantile
from recist_web.evaluation.foresight.run import count
from recist_web.evaluation.foresight.scores import Scores
from recist_web.evaluation.foresight.side_by_side import played, processors
from recist_web.evaluation.foresight.worlds import worlds

TITLE = "Forecasts: precision and recall of warnings, healthy seasons included"


def run(bench: Bench) -> Result:
    """Worlds in virtual time, each played to its end: what was foretold can be compared with what came."""
    seeds = bench.pick(full=3, smoke=1)
    chosen = worlds(seeds)
    if bench.size == "smoke":
        chosen = itertools.islice((w for w in chosen if w.name.startswith(("restarts", "rollouts"))), 2)
    scores, started, played_seconds = Scores(), time.monotonic(), 0.0
    for world, seen in played(chosen, processors()):
        bench.say(world.name)
        count(world, seen, scores)
        played_seconds += world.seconds
    told = scores.as_json()
    result = Result(
        parameters={
            "worlds": scores.worlds,
            "worlds_seconds": round(played_seconds),
            "measured_seconds": round(time.monotonic() - started),
            "worlds_at_a_time": processors(),
            "window_seconds": MINUTES.window_seconds,
            "look_every_seconds": 60,
            "misses": scores.misses,
        }
    )
    numbers = [
        _share("recall", told["recall"]),
        *(_share(f"recall of {kind}", share) for kind, share in told["recallByKind"].items()),
        _share("precision", told["precision"]),
        _share("healthy worlds without a warning", told["healthyWorldsLeftAlone"]),
        _share("limits inside the foretold 90 % interval", told["insideInterval"]),
        Number("warned before the limit, p50", quantile(scores.lead_seconds, 0.5), "s"),
        Number("warned before the limit, p10", quantile(scores.lead_seconds, 0.1), "s"),
    ]
    result.numbers = [number for number in numbers if number.value is not None]  # of nothing there is no share
    return result


def _share(name: str, share: dict[str, float | int | None]) -> Number:
    of, low, high = share["of"], share["low"], share["high"]
    value = share["proportion"]
    interval = f" [{low:.2f}, {high:.2f}]" if value is not None else ""
    return Number(name, value, f"{share['count']} of {of}{interval}")
