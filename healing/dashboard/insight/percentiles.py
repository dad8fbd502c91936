"""Medians and the like: counted by PostgreSQL (``percentile_cont``), by ourselves where the database cannot.

Both interpolate between the two nearest values, so that they agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections, models
from django.db.models import Aggregate, Count, Model, Q, QuerySet

if TYPE_CHECKING:
    _Field = models.Field[Any, Any]
else:
    _Field = models.Field  # not generic at run time

#: Of fewer cases a 95th percentile is only the slowest of them.
LEAST_FOR_P95 = 20


class _Floats(_Field):
    """What comes back: a list, as the driver gives it."""


class _Percentiles(Aggregate):
    function = "PERCENTILE_CONT"
    template = "%(function)s(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = _Floats()


@dataclass(frozen=True, slots=True)
class Spread:
    """``p50`` and ``p95`` in seconds; None: there was nothing to take them of. ``n``: of how many cases."""

    n: int = 0
    p50: float | None = None
    p95: float | None = None

    @property
    def has_p95(self) -> bool:
        return self.n >= LEAST_FOR_P95


def spreads(
    rows: QuerySet[Any], groups: Sequence[str], columns: Mapping[str, Q]
) -> dict[tuple[Any, ...], dict[str, Spread]]:
    """For each group (``()``: all of them) and each column of seconds, over the rows that its condition holds for.

    Rows in which the column is empty do not count."""
    if connections[rows.db].vendor != "postgresql":
        return _by_ourselves(rows, groups, columns)
    wanted: dict[str, Aggregate] = {}
    for column, condition in columns.items():
        wanted[f"{column}_n"] = Count(column, filter=condition)
        wanted[f"{column}_p"] = _Percentiles(column, filter=condition)
    found: Iterable[dict[str, Any]]
    found = rows.order_by().values(*groups).annotate(**wanted) if groups else [rows.order_by().aggregate(**wanted)]
    return {
        tuple(row[group] for group in groups): {
            column: Spread(row[f"{column}_n"], *(row[f"{column}_p"] or (None, None))) for column in columns
        }
        for row in found
    }


def _by_ourselves(
    rows: QuerySet[Any], groups: Sequence[str], columns: Mapping[str, Q]
) -> dict[tuple[Any, ...], dict[str, Spread]]:
    found: dict[tuple[Any, ...], dict[str, Spread]] = defaultdict(lambda: {column: Spread() for column in columns})
    if not groups:
        found[()] = {column: Spread() for column in columns}
    for column, condition in columns.items():
        values: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        taken: QuerySet[Model, Any] = rows.filter(condition, **{f"{column}__isnull": False})
        for *group, value in taken.order_by().values_list(*groups, column):
            values[tuple(group)].append(value)
        for key, numbers in values.items():
            found[key][column] = spread_of(numbers)
    return dict(found)


def spread_of(values: Iterable[float]) -> Spread:
    """Of numbers that are at hand."""
    numbers = sorted(values)
    if not numbers:
        return Spread()
    return Spread(len(numbers), percentile(numbers, 0.5), percentile(numbers, 0.95))


def percentile(numbers: Sequence[float], share: float) -> float:
    """Of sorted numbers, interpolated between the two nearest."""
    at = (len(numbers) - 1) * share
    low = int(at)
    high = min(low + 1, len(numbers) - 1)
    return numbers[low] + (numbers[high] - numbers[low]) * (at - low)
