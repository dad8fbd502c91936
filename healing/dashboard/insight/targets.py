"""What was promised, beside what came of it. Too few cases are said to be too few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from healing.dashboard import words
from healing.dashboard.insight.numbers import Numbers
from healing.dashboard.insight.percentiles import Spread

#: Of fewer, a share says little: the cases are named instead.
LEAST_CASES = 5
HEALED_TARGET, ALONE_TARGET = 0.90, 0.80
TOTAL_BUDGET_SECONDS = 60.0

State = Literal["met", "missed", "open"]


@dataclass(frozen=True, slots=True)
class Target:
    """``value`` and ``n`` in words; ``open``: too few cases to say."""

    key: str
    name: str
    promise: str
    value: str
    basis: str
    state: State


def targets(numbers: Numbers) -> list[Target]:
    """All promises."""
    tally = numbers.all
    of = f"of {words.count(tally.fell_to_us, 'fault')} that had to be healed"
    found = [
        _share("healed", "Healed", HEALED_TARGET, tally.healed, tally.fell_to_us, of),
        _share("alone", "Healed without anybody", ALONE_TARGET, tally.alone, tally.fell_to_us, of),
    ]
    found.append(_healing_time(tally.total))
    ended = tally.events
    what = f"{words.count(numbers.undone, 'fix', 'fixes')} put back because they did not help"
    found.append(
        Target(
            "unsafe",
            "Changes that could not be taken back",
            "none",
            str(numbers.undo_failed) if ended else "",
            f"{what}, in {words.count(ended, 'event')}" if ended else "nothing has ended yet",
            "missed" if numbers.undo_failed else "met" if ended else "open",
        )
    )
    return found


def _healing_time(total: Spread) -> Target:
    """The median is compared; the 95th percentile stands beside it where there are enough cases."""
    basis = "nothing was healed yet"
    state: State = "open"
    if total.p50 is not None:
        slow = f", 95 % in {words.duration(total.p95)}" if total.has_p95 else ""
        basis = f"median of {total.n}{slow}; without people"
        if total.n >= LEAST_CASES:
            state = "met" if total.p50 <= TOTAL_BUDGET_SECONDS else "missed"
    promise = f"under {TOTAL_BUDGET_SECONDS:.0f} s"
    return Target("total", "Detected to healed", promise, words.duration(total.p50), basis, state)


def _share(key: str, name: str, target: float, hits: int, n: int, of: str) -> Target:
    promise = f"over {target * 100:.0f} %"
    if not n:
        return Target(key, name, promise, "", "no case yet", "open")
    if n < LEAST_CASES:
        return Target(key, name, promise, f"{hits} of {n}", "too few cases to say", "open")
    return Target(key, name, promise, words.percent(hits / n), of, "met" if hits / n > target else "missed")
