"""What fills: memory toward its limit, volumes toward full, quotas toward what they allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from healing.forecasting.model import Foreseen, Scale, Watched
from healing.models import WarningKind
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Metrics, Sample, Series
from healing.queries import catalogue, trends
from healing.queries.model import NAMESPACES_AT_ONCE, Query, in_namespaces
from knowledge.forecasts import Outlook, look_ahead

#: Of the limit: less of a rise over the whole history is nothing.
_LEAST_RISE = 0.02
#: A level that was normal before, this far under the limit, is normal now.
_USUAL_AT_MOST = 0.9
_CALL_SECONDS = 8.0
#: Of an older window: how high the series usually comes by itself.
_USUAL_PARTS = 0.98
#: Of the limit: crests of a season differ by so much.
_ABOVE_USUAL = 0.05
#: How much older data is looked at, how finely, and how much says something.
_OLDER_WINDOWS, _OLDER_STEPS, _LEAST_OLDER = 8, 48, 6
#: A trend in what is new is believed so far ahead, in parts of how long it has gone on: two thirds of what has gone on
#: for an hour go on for another half.
_AHEAD_IF_NEW = 0.5

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filling:
    """A pair of queries with the same labels: how full, and how much it holds."""

    kind: WarningKind
    used: Query
    limit: Query
    unit: str
    place: Callable[[Labels], tuple[ObjectRef, str]]


FILLINGS = (
    Filling(
        WarningKind.MEMORY,
        catalogue.CONTAINER_MEMORY,
        trends.MEMORY_LIMIT,
        "bytes",
        lambda labels: (ObjectRef("Pod", labels[0], labels[1]), labels[2]),
    ),
    Filling(
        WarningKind.VOLUME,
        trends.VOLUME_USED,
        trends.VOLUME_CAPACITY,
        "bytes",
        lambda labels: (ObjectRef("PersistentVolumeClaim", labels[0], labels[1]), ""),
    ),
    Filling(
        WarningKind.QUOTA,
        trends.QUOTA_USED,
        trends.QUOTA_HARD,
        "of quota",
        lambda labels: (ObjectRef("ResourceQuota", labels[0], labels[1]), labels[2]),
    ),
)


def look(metrics: Metrics, namespaces: Iterable[str], scale: Scale, now: datetime) -> list[Foreseen]:
    """What will be full within the scale's horizon. Raises `healing.ports.errors`."""
    chosen, found = sorted(set(namespaces)), []
    for start in range(0, len(chosen), NAMESPACES_AT_ONCE):
        where = in_namespaces(chosen[start : start + NAMESPACES_AT_ONCE])
        for filling in FILLINGS:
            for watched in _read(metrics, filling, where, scale, now):
                outlook = ahead(watched, scale)
                if outlook.breach is not None and is_borne_out(metrics, filling, watched, outlook, scale, now):
                    found.append(Foreseen.of(watched, outlook, scale))
    return found


def ahead(watched: Watched, scale: Scale) -> Outlook:
    """Where one series is heading."""
    return look_ahead(
        watched.points,
        watched.limit,
        horizon_seconds=scale.horizon_seconds,
        least_span_seconds=scale.least_span_seconds,
        least_rise=_LEAST_RISE * watched.limit,
    )


def _read(metrics: Metrics, filling: Filling, where: str, scale: Scale, now: datetime) -> list[Watched]:
    limits = {
        _labels(sample, filling.limit): sample.value
        for sample in metrics.query(filling.limit.text(where=where), timeout_seconds=_CALL_SECONDS)
        if 0 < sample.value < 2**60  # cAdvisor tells "no limit" as a number near 2**63
    }
    if not limits:
        return []
    text = filling.used.text(where=where)
    series = metrics.query_range(
        text,
        start=now - timedelta(seconds=scale.window_seconds),
        end=now,
        step_seconds=scale.step_seconds,
        timeout_seconds=_CALL_SECONDS,
    )
    found = []
    for one in series:
        labels = _labels(one, filling.used)
        if labels not in limits or not _is_alive(one, scale, now):
            continue
        subject, part = filling.place(labels)
        found.append(Watched(filling.kind, subject, part, one.points, limits[labels], filling.unit, text))
    return found


def is_borne_out(
    metrics: Metrics, filling: Filling, watched: Watched, outlook: Outlook, scale: Scale, now: datetime
) -> bool:
    """Whether what was there before the trend speaks for it. Asked only for the few that would be warned of.

    What came as high before and fell again by itself, well under the limit, is its season, of which only a flank is
    seen. Where hardly anything is known from before (a new pod, a quota's first day), this may be the first flank of
    one: such a trend has to go on for longer."""
    assert outlook.breach is not None
    labels = dict(zip(filling.used.labels, _where(watched), strict=True))
    matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
    end = now - timedelta(seconds=max(outlook.span_seconds, scale.step_seconds))
    older = metrics.query_range(
        filling.used.text(where=matchers),
        start=end - timedelta(seconds=_OLDER_WINDOWS * scale.window_seconds),
        end=end,
        step_seconds=scale.window_seconds / _OLDER_STEPS,
        timeout_seconds=_CALL_SECONDS,
    )
    known_seconds = max((end.timestamp() - one.points[0][0] for one in older if one.points), default=0.0)
    if known_seconds < outlook.span_seconds and outlook.breach.seconds > _AHEAD_IF_NEW * outlook.span_seconds:
        return False
    values = sorted(value for one in older for _, value in one.points)
    if len(values) < _LEAST_OLDER:
        return True
    usual = values[min(len(values) - 1, int(_USUAL_PARTS * len(values)))]
    most = _USUAL_AT_MOST * watched.limit
    return usual > most or outlook.level > min(most, usual + _ABOVE_USUAL * watched.limit)


def _where(watched: Watched) -> Labels:
    subject = watched.subject
    return (subject.namespace, subject.name, watched.part) if watched.part else (subject.namespace, subject.name)


def _labels(found: Sample | Series, query: Query) -> Labels:
    return tuple(found.labels.get(name, "") for name in query.labels)


def _is_alive(series: Series, scale: Scale, now: datetime) -> bool:
    """A pod that is gone leaves its series behind."""
    newest = datetime.fromtimestamp(series.points[-1][0], UTC) if series.points else None
    return newest is not None and (now - newest).total_seconds() <= 2 * scale.step_seconds + 60
