"""What was promised, beside what came of it. Too few cases are said to be too few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from django.utils.translation import gettext as _, ngettext

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
    of = ngettext(
        "of %(count)s fault that had to be healed", "of %(count)s faults that had to be healed", tally.fell_to_us
    ) % {"count": tally.fell_to_us}
    return [
        _share("healed", _("Healed"), HEALED_TARGET, tally.healed, tally.fell_to_us, of),
        _share("alone", _("Healed without anybody"), ALONE_TARGET, tally.alone, tally.fell_to_us, of),
        _healing_time(tally.total),
        _safety(numbers),
    ]


def _safety(numbers: Numbers) -> Target:
    ended = numbers.all.events
    basis = _("nothing has ended yet")
    if ended:
        fixes = ngettext(
            "%(count)s fix put back because they did not help",
            "%(count)s fixes put back because they did not help",
            numbers.undone,
        ) % {"count": numbers.undone}
        basis = ngettext("%(fixes)s, in %(count)s event", "%(fixes)s, in %(count)s events", ended) % {
            "fixes": fixes,
            "count": ended,
        }
    return Target(
        "unsafe",
        _("Changes that could not be taken back"),
        _("none"),
        str(numbers.undo_failed) if ended else "",
        basis,
        "missed" if numbers.undo_failed else "met" if ended else "open",
    )


def _healing_time(total: Spread) -> Target:
    """The median is compared; the 95th percentile stands beside it where there are enough cases."""
    basis = _("nothing was healed yet")
    state: State = "open"
    if total.p50 is not None:
        basis = (
            _("median of %(count)s, 95 %% in %(slow)s; without people")
            if total.has_p95
            else _("median of %(count)s; without people")
        ) % {"count": total.n, "slow": words.duration(total.p95)}
        if total.n >= LEAST_CASES:
            state = "met" if total.p50 <= TOTAL_BUDGET_SECONDS else "missed"
    promise = _("under %(seconds)s s") % {"seconds": f"{TOTAL_BUDGET_SECONDS:.0f}"}
    return Target("total", _("Detected to healed"), promise, words.duration(total.p50), basis, state)


def _share(key: str, name: str, target: float, hits: int, n: int, of: str) -> Target:
    promise = _("over %(number)s %%") % {"number": f"{target * 100:.0f}"}
    if not n:
        return Target(key, name, promise, "", _("no case yet"), "open")
    if n < LEAST_CASES:
        few = _("%(hits)s of %(all)s") % {"hits": hits, "all": n}
        return Target(key, name, promise, few, _("too few cases to say"), "open")
    return Target(key, name, promise, words.percent(hits / n), of, "met" if hits / n > target else "missed")
