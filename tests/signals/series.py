"""Made-up series of all the shapes that trouble a query: resets, gaps, endings, holes, histograms, NaN, infinities."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping

from healing.queries import http
from healing.sandbox.signals.tsdb import Labels, Store, is_stale, make_labels

Pairs = tuple[tuple[str, str], ...]
NAMES_OF_COUNTERS = {family.name for family in http.FAMILIES if not family.is_histogram}
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
        samples += _cataloged(chance, where, scrape, counters, buckets)
        store.write(f"{namespace}/{pod}", time_ms, samples)


def _cataloged(
    chance: random.Random, where: Pairs, scrape: int, counters: dict[str, float], buckets: dict[str, float]
) -> list[tuple[Labels, float]]:
    """Every metric that the product knows requests by, and those of containers."""
    samples: list[tuple[Labels, float]] = []
    namespace, pod = where[0][1], where[1][1]
    for family in http.FAMILIES:
        place: Pairs = where
        if family.place_labels == ("service",):
            place = (("namespace", "traefik"), ("service", f"{namespace}-{pod}-80@kubernetes"))
        elif family.is_of_services:
            own = (("namespace", "ingress"), ("pod", "controller"), ("instance", pod))
            honored = (("namespace", namespace), ("service", pod), ("instance", pod))
            place = honored if pod == "web-1" else (*own, ("exported_namespace", namespace), ("exported_service", pod))
        for matcher in filter(None, family.only.split(",")):
            name, _, value = matcher.partition("=")
            place = (*place, (name, value.strip('"') if chance.random() > 0.1 else "other"))
        if family.is_histogram:
            count = family.name.removesuffix("_bucket") + "_count"
            samples += [(make_labels(family.name, (*place, ("le", bound))), v) for bound, v in buckets.items()]
            if count not in NAMES_OF_COUNTERS:
                samples.append((make_labels(count, place), buckets["+Inf"]))
        else:
            label = family.code_labels[scrape // 30 % len(family.code_labels)]
            samples += [(make_labels(family.name, (*place, (label, code))), v) for code, v in counters.items()]
    for container in ("app", "sidecar", ""):
        labels = (*where, ("container", container))
        samples.append((make_labels("container_cpu_usage_seconds_total", labels), sum(counters.values()) / 7))
        samples.append((make_labels("container_memory_working_set_bytes", labels), 1e8 + chance.randrange(10**6)))
        samples.append((make_labels("container_cpu_cfs_periods_total", labels), float(scrape)))
        samples.append((make_labels("container_cpu_cfs_throttled_periods_total", labels), scrape / 2))
    return [*samples, *_around(chance, where, scrape)]


def _toward_limits(where: Pairs, pod: str, scrape: int) -> list[tuple[Labels, float]]:
    """What forecasts ask for: limits (one without any), starts (a restart half-way), quotas and certificates."""
    container = (*where, ("container", "web"))
    limit = 2.0**63 if pod.endswith("1") else 128 * 2.0**20
    samples = [
        (make_labels("container_spec_memory_limit_bytes", container), limit),
        (make_labels("container_start_time_seconds", container), T0_MS / 1000 + (300 if scrape > 30 else 0)),
    ]
    for kind, value in (("hard", 20.0), ("used", float(scrape % 20))):
        quota = (where[0], ("resourcequota", f"objects-{pod}"), ("resource", "pods"), ("type", kind))
        samples.append((make_labels("kube_resourcequota", quota), value))
    names = (("secret_namespace", where[0][1]), ("secret_name", f"tls-{pod}"))
    samples.append((make_labels("x509_cert_not_after", names), T0_MS / 1000 + 864_000))
    return samples


def _around(chance: random.Random, where: Pairs, scrape: int) -> list[tuple[Labels, float]]:
    """What a pod stands on: its volume, its network, its node; whether it was scraped, and an alert now and then."""
    pod = where[1][1]
    claim = (where[0], ("persistentvolumeclaim", f"data-{pod}"))
    node = ("node", f"node-{1 + int(pod[-1]) % 2}")
    samples = [(make_labels(f"kubelet_volume_stats_{name}_bytes", claim), 1e9 + chance.randrange(10**6))
               for name in ("capacity", "available", "used")]  # fmt: skip
    samples += [(make_labels(f"container_network_{way}_{what}_total", where), float(scrape // 3))
                for way in ("receive", "transmit") for what in ("packets_dropped", "errors")]  # fmt: skip
    # A node exporter is known by a node label or, in older installations, by its address only.
    place = (*where, node) if scrape % 2 else (*where, ("instance", f"{node[1]}:9100"))
    samples.append((make_labels("node_timex_offset_seconds", place), chance.gauss(0, 0.01)))
    samples.append((make_labels("up", where), 1.0))
    samples += _toward_limits(where, pod, scrape)
    if 20 <= scrape < 45:
        alert = (("alertname", "KubePodCrashLooping"), ("alertstate", "firing" if scrape > 25 else "pending"))
        samples.append((make_labels("ALERTS", (*where, *alert)), 1.0))
    return samples


def holds_stale(store: Store) -> bool:
    """Whether any series holds a staleness marker (the data would be too easy without)."""
    return any(is_stale(value) for series in store.all() for value in series.window(0, 1 << 60)[1])
