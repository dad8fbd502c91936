from __future__ import annotations

import math

import pytest

from healing.detection.metrics import RequestWindow, metric_sightings
from healing.detection.queries import CPU, LATENCY, MEMORY, REQUESTS, promql
from healing.detection.sighting import Sighting
from healing.policies.spec import Thresholds
from healing.ports.metrics import Sample
from healing.queries import http
from healing.queries.load import quantile
from healing.queries.requests import Loads, add
from tests.detection import objects as o

WEB = o.deployment()
SET = o.replicaset(WEB)
LIMITS = {"resources": {"limits": {"cpu": "500m", "memory": "200Mi"}}}


def pod(name: str = "web-rs-1", **more: object) -> o.Object:
    return o.pod(SET, name, ready=True, container=LIMITS, **more)  # type: ignore[arg-type]


def sample(value: float, pod_name: str = "web-rs-1", **labels: str) -> Sample:
    return Sample({"namespace": "shop", "pod": pod_name, **labels}, value, o.NOW.timestamp())


FAMILIES = {family.name: family for family in http.FAMILIES}


def window(results: dict[str, list[Sample]], seconds: float = 60) -> RequestWindow:
    """Samples per second of the usual families as the reader hands them on."""
    loads: Loads = {}
    for found in results.get(REQUESTS, ()):
        add(found, FAMILIES["http_requests_total"], loads)
    for found in results.get(LATENCY, ()):
        add(found, FAMILIES["http_request_duration_seconds_bucket"], loads)
    return RequestWindow(seconds, loads)


def see(
    results: dict[str, list[Sample]],
    *others: o.Object,
    thresholds: Thresholds | None = None,
    newer: tuple[RequestWindow, ...] = (),
) -> list[Sighting]:
    cache = o.cache_of(WEB, SET, *(others or (pod(),)))
    windows = [window(results), *newer]
    found = metric_sightings(results, cache, lambda target: thresholds or Thresholds(), o.NOW, windows)
    return [sighting for sightings in found.values() for sighting in sightings]


@pytest.mark.parametrize(
    ("query", "value", "symptom"),
    [
        (CPU, 0.49, "HighCpu"),
        (CPU, 0.44, None),
        (MEMORY, 180 * 2**20, "HighMemory"),
        (MEMORY, 160 * 2**20, None),
        (CPU, math.nan, None),
    ],
)
def test_use_as_a_fraction_of_the_limit(query: str, value: float, symptom: str | None) -> None:
    found = see({query: [sample(value, container="c")]})
    assert [s.symptom for s in found] == ([symptom] if symptom else [])
    for sighting in found:
        assert sighting.grace_seconds == Thresholds().for_seconds
        assert sighting.subject is not None
        assert sighting.data["container"] == "c"


def test_the_worst_pod_counts() -> None:
    two = (pod(), pod("web-rs-2"))
    [sighting] = see({CPU: [sample(0.1, container="c"), sample(0.5, "web-rs-2", container="c")]}, *two)
    assert sighting.subject is not None
    assert sighting.subject.name == "web-rs-2"


def test_no_limit_no_pod_or_a_starting_container_is_no_fault() -> None:
    assert see({CPU: [sample(9, container="c")]}, o.pod(SET, ready=True)) == []
    assert see({CPU: [sample(9, "gone", container="c")]}) == []
    assert see({CPU: [sample(9, container="c")]}, pod(state={"running": {"startedAt": o.at(-10)}})) == []


def test_an_autoscaler_that_has_room_answers_the_load_itself() -> None:
    scaler: o.Object = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": o.meta("web"),
        "spec": {"maxReplicas": 4, "scaleTargetRef": {"kind": "Deployment", "name": "web"}},
        "status": {"currentReplicas": 2},
    }
    busy = {CPU: [sample(0.5, container="c")]}
    assert see(busy, pod(), scaler) == []
    assert [s.symptom for s in see(busy, pod(), {**scaler, "status": {"currentReplicas": 4}})] == ["HighCpu"]
    blind = {"currentReplicas": 2, "conditions": [{"type": "ScalingActive", "status": "False"}]}
    assert [s.symptom for s in see(busy, pod(), {**scaler, "status": blind})] == ["HighCpu"]


def test_errors_as_a_share_of_all_requests_of_the_workload() -> None:
    results = [sample(6, code="200"), sample(0.5, status="503"), sample(1, status_code="404")]
    results += [sample(2, "web-rs-2", code="200"), sample(0.5, "web-rs-2", code="500")]
    two = (pod(), pod("web-rs-2"))
    [sighting] = see({REQUESTS: results}, *two)
    assert (sighting.symptom, sighting.data["value"]) == ("HighErrorRate", 0.1)
    assert see({REQUESTS: results}, *two, thresholds=Thresholds(error_rate=0.2)) == []
    assert see({REQUESTS: results}, *two, thresholds=Thresholds(error_rate=None)) == []


def test_a_handful_of_requests_says_nothing() -> None:
    assert see({REQUESTS: [sample(0.05, code="500")]}) == []
    assert see({LATENCY: [sample(0.05, le="1"), sample(0.05, le="+Inf")]}) == []


def test_latency_is_judged_over_all_pods() -> None:
    buckets = [sample(9.8, le="0.25"), sample(9.8, le="0.5"), sample(10, le="1"), sample(10, le="+Inf")]
    [sighting] = see({LATENCY: buckets})
    assert sighting.symptom == "HighLatency"
    assert sighting.data["value"] == pytest.approx(750)
    fast = [sample(1000, "web-rs-2", le=le) for le in ("0.25", "0.5", "1", "+Inf")]
    assert see({LATENCY: buckets + fast}, pod(), pod("web-rs-2")) == []


def per_pod(*counts: tuple[float, float]) -> list[Sample]:
    """(failed, all) requests a minute of pods web-rs-1, web-rs-2 and so on."""
    return [
        sample(value / 60, f"web-rs-{number}", code=code)
        for number, (failed, total) in enumerate(counts, start=1)
        for code, value in (("200", total - failed), ("500", failed))
    ]


def seen_on(*counts: tuple[float, float], unready: frozenset[int] = frozenset()) -> list[str | None]:
    pods = [
        o.pod(SET, f"web-rs-{number}", ready=number not in unready, container=LIMITS)
        for number in range(1, len(counts) + 1)
    ]
    return [s.subject.name if s.subject else None for s in see({REQUESTS: per_pod(*counts)}, *pods)]


def test_one_pod_that_fails_where_the_others_do_not_is_the_subject() -> None:
    assert seen_on((90, 100), (0, 100), (1, 100)) == ["web-rs-1"]
    assert seen_on((0, 100), (50, 100)) == ["web-rs-2"]  # of two pods, one may be the bad one
    assert seen_on((20, 100), (30, 100), (0, 100), (0, 100), (1, 100)) == ["web-rs-2"]  # the worst of a minority


def test_it_is_seen_where_the_workload_as_a_whole_is_under_its_threshold() -> None:
    pods = [pod(f"web-rs-{number}") for number in range(1, 11)]
    [sighting] = see({REQUESTS: per_pod((30, 100), *((0, 100),) * 9)}, *pods)
    assert sighting.subject is not None
    assert (sighting.subject.name, sighting.data["value"], sighting.data["peers"]) == ("web-rs-1", 0.3, 0.0)
    assert sighting.subject.uid
    assert sighting.grace_seconds == Thresholds().for_seconds
    assert "web-rs-1, 30.0% of the requests fail (allowed: 5.0%); of the others, 0.0%" in sighting.message


def test_what_may_be_chance_or_is_everybodys_names_no_pod() -> None:
    assert seen_on((4, 30), (0, 100), (0, 100)) == []  # four failed requests
    assert seen_on((6, 100), (4, 100), (4, 100)) == []  # the others are hardly better
    assert seen_on((9, 9), (0, 50), (0, 50)) == [None]  # too few requests to judge the pod: the workload's alarm
    assert seen_on((60, 100), (60, 100), (0, 100)) == [None]  # most of them
    assert seen_on((60, 100), (60, 100), (0, 100), (0, 100)) == [None]  # half of four
    assert seen_on((60, 100)) == [None]  # no other to compare it with
    assert seen_on((60, 100), (0, 3)) == [None]  # the other has not answered enough
    assert seen_on((60, 100), (0, 100), unready=frozenset({2})) == [None]  # the other gets no traffic


def test_one_slow_pod_is_the_subject() -> None:
    def buckets(name: str, fast: float) -> list[Sample]:
        counts = {"0.25": fast, "0.5": fast, "1": fast, "2.5": 1.0, "+Inf": 1.0}
        return [sample(value, name, le=le) for le, value in counts.items()]

    two = (pod(), pod("web-rs-2"))
    [sighting] = see({LATENCY: [*buckets("web-rs-1", 1.0), *buckets("web-rs-2", 0.2)]}, *two)
    assert sighting.symptom == "HighLatency"
    assert sighting.subject is not None
    assert sighting.subject.name == "web-rs-2"
    [sighting] = see({LATENCY: [*buckets("web-rs-1", 0.5), *buckets("web-rs-2", 0.2)]}, *two)
    assert sighting.subject is None


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        (0.5, {1.0: 10, 2.0: 20, math.inf: 20}, 1.0),
        (0.75, {1.0: 10, 2.0: 20, math.inf: 20}, 1.5),
        (0.99, {1.0: 10, math.inf: 20}, 1.0),
        (0.5, {1.0: 10}, None),
        (0.5, {1.0: 0, math.inf: 0}, None),
        (0.5, {}, None),
    ],
)
def test_quantiles_are_prometheus_ones(q: float, buckets: dict[float, float], expected: float | None) -> None:
    assert quantile(q, buckets) == expected


def test_a_query_names_its_namespaces() -> None:
    assert '{namespace=~"a|b",' in promql(CPU, ["b", "a"])


def requests_of(failed: float, total: float, seconds: float) -> RequestWindow:
    """So many requests of one pod in a window."""
    counts = {"200": total - failed, "500": failed}
    return window({REQUESTS: [sample(n / seconds, code=code) for code, n in counts.items()]}, seconds)


@pytest.mark.parametrize(
    ("long", "short", "newest", "is_fault"),
    [
        ((200, 600), (150, 300), (50, 50), True),
        ((200, 600), (150, 300), (10, 50), True),
        ((200, 600), (150, 300), (0, 50), False),  # fifty good ones where every third had failed
        ((40, 600), (20, 300), (0, 10), True),  # ten good ones prove nothing where every fifteenth had failed
        ((40, 600), (20, 300), (0, 100), False),
        ((200, 600), (0, 300), (0, 50), False),
        ((200, 600), (10, 300), (0, 0), False),  # nobody asks now, and the last half minute was well
        ((200, 600), (0, 0), (0, 0), False),  # nobody asks any more
        ((10, 20), (5, 5), (0, 0), True),  # hardly anybody asks: it goes on until it is forgotten
    ],
)
def test_what_is_over_is_no_fault(
    long: tuple[float, float], short: tuple[float, float], newest: tuple[float, float], *, is_fault: bool
) -> None:
    failed, total = long
    results = {REQUESTS: [sample((total - failed) / 60, code="200"), sample(failed / 60, code="503")]}
    newer = requests_of(*short, 30), requests_of(*newest, 5)
    assert [s.symptom for s in see(results, newer=newer)] == (["HighErrorRate"] if is_fault else [])


@pytest.mark.parametrize(
    ("failed", "total", "is_fault"), [(3, 10, False), (4, 40, False), (10, 10, True), (5, 60, True)]
)
def test_few_requests(failed: float, total: float, *, is_fault: bool) -> None:
    samples = [sample(failed / 60, code="500"), sample((total - failed) / 60, code="200")]
    assert bool(see({REQUESTS: samples})) is is_fault


def test_one_slow_request_is_no_slow_service() -> None:
    def taking(slow: float) -> dict[str, list[Sample]]:
        counts = {"0.25": 50 - slow, "0.5": 50 - slow, "2.5": 50.0, "+Inf": 50.0}
        return {LATENCY: [sample(n / 60, le=le) for le, n in counts.items()]}

    assert see(taking(2)) == []
    assert [s.symptom for s in see(taking(6))] == ["HighLatency"]


def test_what_an_ingress_controller_counts_is_the_services_workload() -> None:
    service: o.Object = {"kind": "Service", "metadata": o.meta("front"), "spec": {"selector": {"app": "web"}}}
    labels = {"namespace": "ingress", "pod": "controller", "exported_namespace": "shop", "exported_service": "front"}
    loads: Loads = {}
    for status, count in (("200", 100.0), ("502", 50.0)):
        one = Sample({**labels, "status": status}, count / 60, 0.0)
        assert add(one, FAMILIES["nginx_ingress_controller_requests"], loads, frozenset({"shop"}))
    own = o.pod(SET, ready=True, container=LIMITS)
    own["metadata"]["labels"] = {**own["metadata"].get("labels", {}), "app": "web"}
    [sighting] = see_windows(loads, own, service)
    assert sighting.symptom == "HighErrorRate"
    assert sighting.target.ref.name == "web"


def see_windows(loads: Loads, *objects: o.Object) -> list[Sighting]:
    cache = o.cache_of(WEB, SET, *objects)
    found = metric_sightings({}, cache, lambda target: Thresholds(), o.NOW, [RequestWindow(60, loads)])
    return [sighting for sightings in found.values() for sighting in sightings]


def _in_front(service: str, *answers: tuple[str, float]) -> RequestWindow:
    """What an ingress controller counts for a Service."""
    loads: Loads = {}
    labels = {"exported_namespace": "shop", "exported_service": service, "ingress": "front"}
    for status, rate in answers:
        one = Sample({**labels, "status": status}, rate, o.NOW.timestamp())
        assert add(one, FAMILIES["nginx_ingress_controller_requests"], loads, frozenset({"shop"}))
    return RequestWindow(60, loads)


def _seen_by_users(front: RequestWindow, *objects: o.Object, pods: tuple[Sample, ...] = ()) -> list[Sighting]:
    both = RequestWindow(60, {**front.loads, **window({REQUESTS: list(pods)}).loads})
    found = metric_sightings({}, o.cache_of(*objects), lambda target: Thresholds(), o.NOW, [both])
    return [sighting for sightings in found.values() for sighting in sightings]


def test_pods_that_are_well_by_their_own_numbers_while_users_fail_are_one_fault() -> None:
    objects = (WEB, SET, pod(), o.service())
    failing = _in_front("web", ("200", 1), ("502", 9))
    [sighting] = _seen_by_users(failing, *objects, pods=(sample(1, code="200"),))
    assert (sighting.target.ref.kind, sighting.symptom) == ("Deployment", "HighErrorRate")
    assert (sighting.data["seenBy"], sighting.data["services"]) == ("ingress", ["web"])
    [sighting] = _seen_by_users(failing, *objects, pods=(sample(5, code="200"), sample(5, code="500")))
    assert "seenBy" not in sighting.data  # the pods say so themselves
    well = _in_front("web", ("200", 9), ("404", 1))
    assert _seen_by_users(well, *objects, pods=(sample(10, code="200"),)) == []


def test_users_who_fail_before_they_reach_a_pod() -> None:
    path = {"path": "/", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
    ingress = {"kind": "Ingress", "metadata": o.meta("front"), "spec": {"rules": [{"http": {"paths": [path]}}]}}
    failing = _in_front("web", ("503", 10))
    [sighting] = _seen_by_users(failing, ingress)  # the Service does not exist
    assert (sighting.target.ref.kind, sighting.target.ref.name) == ("Ingress", "front")
    [sighting] = _seen_by_users(failing, ingress, o.service(), WEB)  # it reaches no pod
    assert (sighting.target.ref.kind, sighting.symptom) == ("Service", "HighErrorRate")
    assert _seen_by_users(failing, ingress, o.service(), o.deployment(replicas=0, available=0)) == []
    assert _seen_by_users(failing) == []  # a Service and a route that are gone


def test_a_route_to_a_port_that_a_service_does_not_have_is_no_fault_of_its_workload() -> None:
    path = {"path": "/", "backend": {"service": {"name": "web", "port": {"number": 8080}}}}
    ingress = {"kind": "Ingress", "metadata": o.meta("front"), "spec": {"rules": [{"http": {"paths": [path]}}]}}
    failing = _in_front("web", ("503", 10))
    [sighting] = _seen_by_users(failing, ingress, o.service(), WEB, SET, pod())
    assert sighting.target.ref.kind == "Ingress"
