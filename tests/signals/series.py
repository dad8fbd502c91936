"""Made-up series of all the shapes that trouble a query: resets, gaps, endings, holes, histograms, NaN, infinities."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping

from healing.sandbox.signals.tsdb import Labels, Store, is_stale, make_labels

T0_MS = 1_795_392_000_000
SCRAPES = 60
STEP_MS = 10_000


def fill(store: Store, chance: random.Random) -> Iterator[tuple[Mapping[str, str], list[tuple[int, float]]]]:
    """Write about 40 series into the store; yield what it then holds, for another server."""
    for namespace in ("shop", "bank"):
        for number in range(3):
            _target(store, chance, namespace, f"web-{number}")
    yield from stored(store)


def stored(store: Store) -> Iterator[tuple[Mapping[str, str], list[tuple[int, float]]]]:
    """Every sample of a store, staleness markers included."""
    for series in store.all():
        times, values = series.window(0, 1 << 60)
        if times:
            yield dict(series.labels), list(zip(times, values, strict=True))


def _target(store: Store, chance: random.Random, namespace: str, pod: str) -> None:
    """A pod that is scraped, with jitter; it misses scrapes, restarts, and some of its series end and come back."""
    where = (("namespace", namespace), ("pod", pod))
    counters = dict.fromkeys(("200", "404", "500"), 0.0)
    buckets = dict.fromkeys(("0.1", "0.5", "1", "2.5", "+Inf"), 0.0)
    seconds, gauge = 0.0, 10.0
    starts, ends = chance.choice([(0, SCRAPES), (0, 41), (13, SCRAPES), (0, SCRAPES)])
    jitter = chance.randrange(0, STEP_MS)
    for scrape in range(starts, SCRAPES):
        time_ms = T0_MS + jitter + scrape * STEP_MS + chance.choice([0, 0, 0, 7, -3, 140])
        if chance.random() < 0.05:
            continue  # nobody came
        if chance.random() < 0.05:
            store.write(f"{namespace}/{pod}", time_ms, [])  # it did not answer: all its series are stale
            continue
        if chance.random() < 0.04:  # a restart
            counters = dict.fromkeys(counters, 0.0)
            buckets, seconds = dict.fromkeys(buckets, 0.0), 0.0
        for code in counters:
            counters[code] += chance.choice([0, 1, 5, 12]) if code != "500" or chance.random() < 0.3 else 0
        for bound in buckets:
            buckets[bound] += {"0.1": 3, "0.5": 5, "1": 6, "2.5": 6}.get(bound, 7) * chance.choice([0, 1, 1, 2])
        seconds += chance.random() * 3
        gauge += chance.gauss(0, 2)
        shown = math.nan if chance.random() < 0.02 else math.inf if chance.random() < 0.02 else gauge
        samples: list[tuple[Labels, float]] = []
        if scrape < ends:
            samples += [(make_labels("requests_total", (*where, ("code", c))), v) for c, v in counters.items() if v]
        samples += [(make_labels("latency_seconds_bucket", (*where, ("le", b))), v) for b, v in buckets.items()]
        samples.append((make_labels("latency_seconds_count", where), buckets["+Inf"]))
        samples.append((make_labels("latency_seconds_sum", where), seconds))
        samples.append((make_labels("memory_bytes", where), shown))
        samples.append((make_labels("pod_info", (*where, ("node", f"n{len(pod) % 2}"))), 1.0))
        samples.append((make_labels("limit_bytes", (*where, ("resource", "memory"))), 25.0))
        store.write(f"{namespace}/{pod}", time_ms, samples)


def holds_stale(store: Store) -> bool:
    """Whether any series holds a staleness marker (the data would be too easy without)."""
    return any(is_stale(value) for series in store.all() for value in series.window(0, 1 << 60)[1])
