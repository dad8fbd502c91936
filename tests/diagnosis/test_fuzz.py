"""Strange objects, logs and values never break a diagnosis."""

from __future__ import annotations

import copy
import functools
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from healing.diagnosis import analyzers, log_rules, logs, reading as r, series as s
from healing.diagnosis.analyzers import admission, config, images, scheduling
from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.collect import parsing
from healing.diagnosis.reasoner import diagnose
from tests.diagnosis import recorded
from tests.diagnosis.cases import all_cases
from tests.diagnosis.test_network import _chain, _latency, refused
from tests.diagnosis.world import World

_SCENARIOS = [
    "rollout-crashing-image",
    "oomkilled",
    "quota-cpu",
    "pvc-wrong-class",
    "service-wrong-targetport",
    "node-notready",
]
_SCENARIOS += [
    "missing-configmap",
    "liveness-wrong-port",
    "unschedulable-podantiaffinity",
    "job-backofflimit",
    "cordon",
]
_ODD: list[Any] = [
    None,
    "",
    "x",
    0,
    -1,
    1.5,
    True,
    [],
    {},
    [None],
    [{}],
    {"name": 3},
    "2026-13-99T99:99:99Z",
    "1e999",
    10**400,
]


@functools.cache
def _objects(name: str) -> list[dict[str, Any]]:
    return recorded.objects(name, 60)


def _spoil(value: Any, chance: random.Random, rate: float) -> Any:
    if chance.random() < rate:
        return copy.deepcopy(chance.choice(_ODD))
    if isinstance(value, dict):
        return {k: _spoil(v, chance, rate) for k, v in value.items() if chance.random() > rate / 2}
    if isinstance(value, list):
        return [_spoil(v, chance, rate) for v in value]
    return value


@settings(max_examples=120, deadline=None)
@given(name=st.sampled_from(_SCENARIOS), seed=st.integers(0, 10**6), rate=st.sampled_from([0.01, 0.05, 0.2]))
def test_spoiled_objects_break_no_analyzer(name: str, seed: int, rate: float) -> None:
    chance = random.Random(seed)
    items = [_spoil(item, chance, rate) for item in _objects(name)]
    diagnosis = diagnose(recorded.snapshot_of([item for item in items if isinstance(item, dict)]))
    assert not [s for s in diagnosis.missing_sources if s.startswith("analyzer")], diagnosis.missing_sources
    assert all(0 < f.confidence <= 1 for f in diagnosis.findings)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(all_cases())), seed=st.integers(0, 10**6), rate=st.sampled_from([0.01, 0.05, 0.2]))
def test_spoiled_cases_break_no_analyzer(name: str, seed: int, rate: float) -> None:
    chance = random.Random(seed)
    world = all_cases()[name].world()
    objects = [o for kind in list(world.snapshot._objects) for o in world.snapshot.of_kind(kind)]
    spoiled = recorded.snapshot_of(
        [s for o in [*objects, *world._events] if isinstance(s := _spoil(o, chance, rate), dict)]
    )
    spoiled.logs, spoiled.series = world.snapshot.logs, world.snapshot.series
    spoiled.alerts = [a for a in (_spoil(x, chance, rate) for x in world.snapshot.alerts) if isinstance(a, dict)]
    diagnosis = diagnose(spoiled)
    assert not [s for s in diagnosis.missing_sources if s.startswith("analyzer")], diagnosis.missing_sources
    assert all(0 < f.confidence <= 1 for f in diagnosis.findings)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(str.encode)))
def test_any_file_can_be_met(data: bytes) -> None:
    try:
        text = parsing.decoded(data)
        for read in (parsing.json_documents, parsing.yaml_documents):
            try:
                documents, _ = read(text)
            except parsing.Unreadable:
                continue
            for document in documents:
                [parsing.series_of(entry) for entry in parsing.series_entries(document)]
                parsing.alert_entries(document)
        parsing.series_of_table(text)
    except parsing.Unreadable:
        pass


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=2000))
def test_any_log_can_be_read(text: str) -> None:
    found = logs.failures(text)
    log_rules.classify(found)
    assert sum(1 for _ in logs.records(text)) <= len(text.splitlines())
    logs.excerpt(found)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_message_can_be_read(text: str) -> None:
    images.classify(text)
    admission.classify(text)
    config.parse(text)
    scheduling.reasons(text)
    r.quantity(text)
    r.moment(text)


_POINTS = st.lists(st.tuples(st.floats(0, 2e9), st.floats()), max_size=40).map(lambda p: tuple(sorted(p)))


@settings(max_examples=200, deadline=None)
@given(_POINTS)
def test_any_series_can_be_read(points: s.Points) -> None:
    s.rate(points)
    s.shift(points)
    s.trend(points)
    s.latest(points)
    assert sum(len(life) for life in s.split_at_resets(points)) == len(s.finite(points))


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("250m", 0.25),
        ("64Mi", 64 * 2**20),
        ("1e3", 1000.0),
        ("1.5Gi", 1.5 * 2**30),
        (2, 2.0),
        ("100k", 1e5),
        ("", None),
        ("x", None),
        (True, None),
    ],
)
def test_quantities(raw: object, value: float | None) -> None:
    assert r.quantity(raw) == value


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "0/5 nodes are available: 1 node(s) had untolerated taint {kubernetes.io/x: }, 4 Insufficient cpu.",
            ["UntoleratedTaint", "InsufficientCPU"],
        ),
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", ["InsufficientResource"]),
        ("0/3 nodes are available: 2 Too many pods, 1 node(s) were unschedulable.", ["TooManyPods", "NodeCordoned"]),
        (
            "0/3 nodes are available: 3 node(s) didn't match pod topology spread constraints.",
            ["TopologySpreadUnsatisfied"],
        ),
        ("0/2 nodes are available: 2 node(s) had volume node affinity conflict.", ["VolumeNodeAffinityConflict"]),
        (
            "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.",
            ["HostPortConflict"],
        ),
    ],
)
def test_the_schedulers_words(message: str, expected: list[str]) -> None:
    assert [cause for cause, _, _ in scheduling.reasons(message)] == expected


def test_levels_and_records_of_common_formats() -> None:
    lines = [
        '{"level":"error","msg":"json broke","error":"why"}',
        '{"level":50,"msg":"pino broke"}',
        'ts=2026-01-01T00:00:00Z level=error msg="logfmt broke"',
        "E0504 10:00:00.000000       1 main.go:7] klog broke",
        "2026-05-04 10:00:00,123 ERROR worker: python broke",
        "[ERROR] brackets broke",
        "2026/05/04 10:00:00 INFO all is well",
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in <module>',
        "ValueError: traceback broke",
        "java.lang.IllegalStateException: java broke",
        "\tat com.example.A.b(A.java:1)",
        "Caused by: java.io.IOException: deeper",
        "\t... 3 more",
    ]
    text = "\n".join(lines)
    found = [item.record for item in logs.failures(text, 20)]
    assert {"json broke: why", "pino broke", "klog broke"} <= {record.message for record in found}
    broken = [record.raw for record in found]
    assert len(broken) == 8
    assert any(raw.startswith("Traceback") and raw.endswith("traceback broke") for raw in broken)
    assert any(raw.startswith("java.lang") and raw.endswith("... 3 more") for raw in broken)


def test_the_same_complaint_is_counted_once() -> None:
    text = "".join(f"2026-05-04T10:00:{i:02d}Z ERROR request {i * 7919} failed after {i} ms\n" for i in range(60))
    assert [(item.count, item.record.message) for item in logs.failures(text)] == [
        (60, "ERROR request 467221 failed after 59 ms")
    ]


def test_large_clusters_take_little_time() -> None:
    import time

    world = World()
    world.complete("Service")
    for number in range(70):
        world.deployment(f"app-{number}", replicas=3)
        world.service(f"app-{number}")
    chain = _chain()
    for name in ("front", "orders", "payments", "bank"):
        _latency(chain, name, 0.1, 1.5)
        chain.log(chain.pods(name)[0], refused("db:1") * 2000)
    for kind in ("Deployment", "ReplicaSet", "Pod", "Service"):
        for obj in chain.snapshot.of_kind(kind):
            world.snapshot.add(obj)
    world.snapshot.series = chain.snapshot.series
    world.snapshot.logs = chain.snapshot.logs
    started = time.process_time()
    assert diagnose(world.snapshot).best is not None
    assert time.process_time() - started < 2.0


def test_analyzers_name_only_what_the_catalogue_has() -> None:
    folder = Path(analyzers.__file__).parent
    named = {
        c for f in folder.glob("*.py") for c in re.findall(r'Hypothesis\(\s*"(\w+)"|cause = "(\w+)"', f.read_text())
    }
    codes = {a or b for a, b in named}
    assert len(codes) > 30
    assert codes <= CAUSES.keys()
