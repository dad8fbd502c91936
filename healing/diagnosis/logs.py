"""What matters in a log: failures by template, the rare and the new first. Text in, data out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from drain3.drain import Drain  # type: ignore[import-untyped]

from healing.diagnosis import log_records
from healing.diagnosis.log_records import Record

__all__ = ["MAX_CHARACTERS", "Record", "Repeated", "excerpt", "failures", "records", "tail"]

#: So much of a log's end is read: what killed a container is there.
MAX_CHARACTERS = 400_000
#: Without times, so many records count as recent.
_LAST_RECORDS = 40
#: More different complaints than this are no longer told apart.
_MOST_TEMPLATES = 300
#: What appears for the first time in the last part of a long log is news.
_NEWS_PART, _LONG_LOG = 2 / 3, 30
_MASKED = re.compile(
    r"0x[0-9a-fA-F]+|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|\d+(?:\.\d+)*(?:ns|us|µs|ms|s|m|h"
    r"|%|B|KB|MB|GB)?"
)


_HOSTS = re.compile(r"://([^\s/\"']+)|\b([A-Za-z][\w.\-]*):#|(?:lookup|ENOTFOUND|EAI_AGAIN|host=) ?['\"]?([\w.\-]+)")


@dataclass(frozen=True, slots=True)
class Repeated:
    """The latest record of a template and how often it came; ``every_seconds`` on average, None where nobody knows.

    ``is_new``: it came for the first time late in a long log.
    """

    record: Record
    count: int
    every_seconds: float | None = None
    is_new: bool = False


@dataclass(slots=True)
class _Seen:
    record: Record
    last: int
    first: int
    count: int = 0
    first_at: datetime | None = None


def records(log: str) -> Iterator[Record]:
    """The log's records, oldest first; a stack trace is one record, with the message it was logged under."""
    for lines in log_records.grouped(log[-MAX_CHARACTERS:]):
        yield log_records.record(lines)


def failures(
    log: str, limit: int = 8, *, since: datetime | None = None, most_characters: int = MAX_CHARACTERS
) -> list[Repeated]:
    """What went wrong, deduplicated: the latest record of each template, the most telling ones first.

    Fatal before error before the rest; within a level what is new before what was said all along, then the latest
    first. With ``since`` what was said before it is left out; where a log has no times, all but its last records.
    """
    found, total = _failing(log[-min(MAX_CHARACTERS, most_characters) :], since)
    by_mask: dict[str, _Seen] = {}
    for position, one in found:
        mask = _MASKED.sub("#", one.first_line)[:200]
        seen = by_mask.setdefault(mask, _Seen(one, position, position, 0, one.at))
        seen.record, seen.last, seen.count = one, position, seen.count + 1
    merged = _mined(by_mask)
    is_long = total >= _LONG_LOG
    rank = {"fatal": 0, "error": 1}
    result = [
        (
            _rank(seen.record, rank),
            not (is_long and seen.first >= total * _NEWS_PART),
            -seen.last,
            Repeated(seen.record, seen.count, _every(seen), is_new=is_long and seen.first >= total * _NEWS_PART),
        )
        for seen in merged
    ]
    return [entry[3] for entry in sorted(result, key=lambda entry: entry[:3])[:limit]]


def _failing(text: str, since: datetime | None) -> tuple[list[tuple[int, Record]], int]:
    """(position, record) of the failures from the moment on, and how many records there are in all."""
    groups = list(log_records.grouped(text))
    total, stems = len(groups), log_records.stems_in(text)
    if since is None:
        suspects = [
            (i, log_records.record(group)) for i, group in enumerate(groups) if log_records.may_fail(group, stems)
        ]
        return [(i, one) for i, one in suspects if one.is_failure], total
    # from the end backwards: only what is recent is taken apart. A record without a time has that of the one before.
    found: list[tuple[int, Record]] = []
    undated: list[tuple[int, Record]] = []
    timed = False
    for position in range(total - 1, -1, -1):
        group = groups[position]
        at = log_records.dated(group[0])
        if at is not None:
            timed = True
            if at < since:
                undated = []
                break
        if log_records.may_fail(group, stems):
            one = log_records.record(group)
            if one.is_failure:
                (found if at is not None else undated).append((position, one))
        if at is not None:
            found += undated
            undated = []
        elif not timed and total - position >= _LAST_RECORDS:
            break
    return sorted([*found, *undated], key=lambda entry: entry[0]), total


def _mined(by_mask: dict[str, _Seen]) -> list[_Seen]:
    """Masks that differ in a word or two (a name, a path) are one template."""
    if len(by_mask) < 2:
        return list(by_mask.values())
    # who is called is no variable part: what is said of one host is not what is said of another
    miners: dict[tuple[str, ...], Drain] = {}
    clusters: dict[tuple[tuple[str, ...], int], _Seen] = {}
    for mask, seen in list(by_mask.items())[-_MOST_TEMPLATES:]:
        hosts = tuple(name for found in _HOSTS.findall(mask) for name in found if name)
        miner = miners.setdefault(hosts, Drain(depth=5, sim_th=0.7, max_clusters=_MOST_TEMPLATES))
        cluster, _ = miner.add_log_message(mask)
        key = (hosts, cluster.cluster_id)
        known = clusters.get(key)
        if known is None:
            clusters[key] = seen
            continue
        first_at = known.first_at if known.first <= seen.first else seen.first_at
        latest = seen if seen.last > known.last else known
        clusters[key] = _Seen(
            latest.record, latest.last, min(known.first, seen.first), known.count + seen.count, first_at
        )
    return list(clusters.values())


def _every(seen: _Seen) -> float | None:
    if seen.count < 2 or seen.record.at is None or seen.first_at is None:
        return None
    return (seen.record.at - seen.first_at).total_seconds() / (seen.count - 1)


def tail(log: str, lines: int = 20) -> str:
    """The last lines."""
    return "\n".join(log[-MAX_CHARACTERS:].splitlines()[-lines:])


def excerpt(repeated: Iterable[Repeated]) -> str:
    """Records as text for a person, each with how often it came."""
    return "\n".join(
        f"{item.record.raw.rstrip()}{f'  ({item.count} times)' if item.count > 1 else ''}" for item in repeated
    )


def _rank(one: Record, rank: dict[str, int]) -> int:
    if "panic" in one.message[:40].lower() or "Traceback" in one.raw:
        return 0
    return rank.get(one.level, 2)
