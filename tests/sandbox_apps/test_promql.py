"""PromQL by hand-computed tables, and against answers recorded from a real Prometheus."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from healing.sandbox.signals.promql import BadQuery, Engine, EvaluationFailed, format_value
from healing.sandbox.signals.promql.range_functions import extrapolated
from healing.sandbox.signals.promql.values import RangeSeries
from healing.sandbox.signals.tsdb import STALE, Store, make_labels

RECORDINGS = Path(__file__).parents[1] / "recordings" / "prometheus"
T0 = 1_800_000_000_000  # milliseconds; a multiple of every step used here


def load(store: Store, name: str, labels: dict[str, str], values: list[float | None], step_ms: int = 10_000) -> None:
    """One sample a scrape; None: missing from that scrape."""
    target = name + json.dumps(labels, sort_keys=True)
    for index, value in enumerate(values):
        samples = [] if value is None else [(make_labels(name, labels.items()), float(value))]
        store.write(target, T0 + index * step_ms, samples)


@pytest.fixture
def store() -> Store:
    store = Store()
    load(store, "c", {"pod": "a", "ns": "x"}, [0, 10, 20, 30, 40, 50, 60])  # 1 a second
    load(store, "c", {"pod": "b", "ns": "x"}, [0, 20, 40, 0, 20, 40, 60])  # a reset at the fourth
    load(store, "g", {"pod": "a", "ns": "x"}, [1, 2, 3, 4, 5, 6, 7])
    load(store, "g", {"pod": "b", "ns": "x"}, [7, 7, 7, 7, 7, 7, 7])
    load(store, "g", {"pod": "c", "ns": "y"}, [5, 3, 5, 3, 5, 3, 5])
    load(store, "info", {"pod": "a", "ns": "x", "node": "n1"}, [1] * 7)
    load(store, "info", {"pod": "b", "ns": "x", "node": "n2"}, [1] * 7)
    for le, count in (("0.1", 50), ("0.5", 90), ("1", 100), ("+Inf", 100)):
        load(store, "h_bucket", {"le": le}, [0, *[count] * 6])
    return store


def ask(store: Store, query: str, at_seconds: float = 60) -> Any:
    """A vector as {labels without braces: value}, or a scalar."""
    value = Engine(store).instant(query, T0 + int(at_seconds * 1000))
    if not isinstance(value, list):
        return value
    return {",".join(f"{k}={v}" for k, v in labels): number for labels, number in value}  # type: ignore[misc]


CASES: list[tuple[str, dict[str, float] | float]] = [
    # rate over [0, 60]: seven samples cover the window wholly, nothing to extrapolate
    ('rate(c{pod="a"}[1m])', {"ns=x,pod=a": 1.0}),
    # with a reset: 40 + (0 - 40 -> +40) ... the sum of the rises is 40 + 0 + 60 = 100, and 100 / 60
    ('rate(c{pod="b"}[1m])', {"ns=x,pod=b": 100 / 60}),
    ('increase(c{pod="a"}[1m])', {"ns=x,pod=a": 60.0}),
    # five samples 20..60; the window starts at 15, 5 s before the first (< 11 s): extrapolated to 45 s
    ('increase(c{pod="a"}[45s])', {"ns=x,pod=a": 45.0}),
    ('irate(c{pod="a"}[1m])', {"ns=x,pod=a": 1.0}),
    ('irate(c{pod="b"}[1m])', {"ns=x,pod=b": 2.0}),
    ('delta(g{pod="a"}[1m])', {"ns=x,pod=a": 6.0}),
    ('idelta(g{pod="c"}[1m])', {"ns=y,pod=c": 2.0}),
    ('deriv(g{pod="a"}[1m])', {"ns=x,pod=a": 0.1}),
    ('deriv(g{pod="b"}[1m])', {"ns=x,pod=b": 0.0}),
    ('predict_linear(g{pod="a"}[1m], 100)', {"ns=x,pod=a": 17.0}),
    ('changes(g{pod="c"}[1m])', {"ns=y,pod=c": 6.0}),
    ("resets(c[1m])", {"ns=x,pod=a": 0.0, "ns=x,pod=b": 1.0}),
    ('avg_over_time(g{pod="a"}[1m])', {"ns=x,pod=a": 4.0}),
    ('sum_over_time(g{pod="a"}[1m])', {"ns=x,pod=a": 28.0}),
    ('min_over_time(g{pod="c"}[1m])', {"ns=y,pod=c": 3.0}),
    ('max_over_time(g{pod="c"}[1m])', {"ns=y,pod=c": 5.0}),
    ('count_over_time(g{pod="a"}[30s])', {"ns=x,pod=a": 4.0}),
    ('quantile_over_time(0.5, g{pod="a"}[1m])', {"ns=x,pod=a": 4.0}),
    ('stddev_over_time(g{pod="a"}[1m])', {"ns=x,pod=a": 2.0}),
    ('last_over_time(g{pod="a"}[1m])', {"__name__=g,ns=x,pod=a": 7.0}),
    ('g{pod="a"} offset 30s', {"__name__=g,ns=x,pod=a": 4.0}),
    (f'g{{pod="a"}} @ {T0 / 1000 + 10}', {"__name__=g,ns=x,pod=a": 2.0}),
    ('max_over_time(rate(c{pod="a"}[20s])[40s:10s])', {"ns=x,pod=a": 1.0}),
    ("sum(g)", {"": 19.0}),
    ("sum by (ns) (g)", {"ns=x": 14.0, "ns=y": 5.0}),
    ("sum without (pod) (g)", {"ns=x": 14.0, "ns=y": 5.0}),
    ("avg(g)", {"": 19 / 3}),
    ("min(g)", {"": 5.0}),
    ("max(g)", {"": 7.0}),
    ("count(g)", {"": 3.0}),
    ("group(g)", {"": 1.0}),
    ("stddev(g)", {"": math.sqrt(8 / 9)}),
    ("quantile(0.5, g)", {"": 7.0}),
    ("topk(1, g) by (ns)", {"__name__=g,ns=x,pod=a": 7.0, "__name__=g,ns=y,pod=c": 5.0}),
    ("bottomk(1, g)", {"__name__=g,ns=y,pod=c": 5.0}),
    ('count_values("v", g)', {"v=7": 2.0, "v=5": 1.0}),
    ("g > 6", {"__name__=g,ns=x,pod=a": 7.0, "__name__=g,ns=x,pod=b": 7.0}),
    ("6 < g", {"__name__=g,ns=x,pod=a": 7.0, "__name__=g,ns=x,pod=b": 7.0}),
    ("g > bool 6", {"ns=x,pod=a": 1.0, "ns=x,pod=b": 1.0, "ns=y,pod=c": 0.0}),
    ('g{ns="x"} * 2', {"ns=x,pod=a": 14.0, "ns=x,pod=b": 14.0}),
    ("g - c", {"ns=x,pod=a": -53.0, "ns=x,pod=b": -53.0}),
    ("g * on (pod) group_left (node) info", {"node=n1,ns=x,pod=a": 7.0, "node=n2,ns=x,pod=b": 7.0}),
    ('info * on (pod) group_right (node) g{ns="x"}', {"node=n1,ns=x,pod=a": 7.0, "node=n2,ns=x,pod=b": 7.0}),
    ('g{ns="x"} / ignoring (node) info', {"ns=x,pod=a": 7.0, "ns=x,pod=b": 7.0}),
    ('g and on (ns) c{pod="a"}', {"__name__=g,ns=x,pod=a": 7.0, "__name__=g,ns=x,pod=b": 7.0}),
    ("g unless on (ns) c", {"__name__=g,ns=y,pod=c": 5.0}),
    ('c{pod="a"} or g', {
        "__name__=c,ns=x,pod=a": 60.0, "__name__=g,ns=x,pod=b": 7.0, "__name__=g,ns=y,pod=c": 5.0,
    }),
    ("-g", {"ns=x,pod=a": -7.0, "ns=x,pod=b": -7.0, "ns=y,pod=c": -5.0}),
    ("clamp(g, 0, 6)", {"ns=x,pod=a": 6.0, "ns=x,pod=b": 6.0, "ns=y,pod=c": 5.0}),
    ("clamp_max(g{pod='a'}, 2)", {"ns=x,pod=a": 2.0}),
    ("absent(g)", {}),
    ('absent(nothing{a="b",c=~"d"})', {"a=b": 1.0}),
    ('absent_over_time(nothing{a="b"}[1m])', {"a=b": 1.0}),
    ("scalar(sum(g))", 19.0),
    ("vector(3)", {"": 3.0}),
    ("time()", T0 / 1000 + 60),
    ("1 + 2 ^ 3 ^ 0", 3.0),
    ("7 % 4", 3.0),
    # 95th of 100 observations: bucket (0.5, 1] holds the 91st to 100th, half way through it
    ("histogram_quantile(0.95, sum by (le) (increase(h_bucket[1m])))", {"": 0.75}),
    ("histogram_quantile(0.25, h_bucket)", {"": 0.05}),
    ("histogram_quantile(1.5, h_bucket)", {"": math.inf}),
    ('label_replace(g{pod="a"}, "p", "pod-$1", "pod", "(.*)")', {"__name__=g,ns=x,p=pod-a,pod=a": 7.0}),
    ('label_join(g{pod="a"}, "j", "/", "ns", "pod")', {"__name__=g,j=x/a,ns=x,pod=a": 7.0}),
    ("round(vector(2.5))", {"": 3.0}),
    ("timestamp(g{pod='a'})", {"ns=x,pod=a": T0 / 1000 + 60}),
    ('{__name__=~"c|g",pod="a"}', {"__name__=c,ns=x,pod=a": 60.0, "__name__=g,ns=x,pod=a": 7.0}),
    ('g{pod!="a",ns!~"y|z"}', {"__name__=g,ns=x,pod=b": 7.0}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), CASES, ids=[query for query, _ in CASES])
def test_by_hand(store: Store, query: str, expected: dict[str, float] | float) -> None:
    assert ask(store, query) == pytest.approx(expected)


def test_counters_are_never_extrapolated_below_zero() -> None:
    # first sample 1 at 10 s into a 60 s window and a slope of 1 a second: zero was 1 s before it
    series = RangeSeries((), [10_000, 20_000, 30_000, 60_000], [1, 11, 21, 51], 0, 60_000)
    assert extrapolated(series, is_counter=True, is_rate=False) == pytest.approx(50 * 51 / 50)
    # as a gauge: 10 s to the edge is under 1.1 times the average distance of 16.7 s, so to the edge
    assert extrapolated(series, is_counter=False, is_rate=False) == pytest.approx(50 * 60 / 50)


def test_far_from_the_edge_half_an_interval_is_added() -> None:
    series = RangeSeries((), [30_000, 40_000, 50_000], [100, 110, 120], 0, 60_000)
    # 30 s to the start: above 11 s, so 5 s are added there; 10 s to the end: all of them
    assert extrapolated(series, is_counter=True, is_rate=False) == pytest.approx(20 * 35 / 20)


def test_recorded_increase(store: Store) -> None:
    """A real server's answer for one restart in 60 samples 5 s apart."""
    answer = json.loads((RECORDINGS / "query-restarts-increase.json").read_text())["response"]["body"]["data"]
    load(store, "restarts", {}, [6.0] * 40 + [7.0] * 20, step_ms=5000)
    got = ask(store, "increase(restarts[5m])", at_seconds=297.5)
    assert got == pytest.approx({"": float(answer["result"][0]["value"][1])})


def test_a_vanished_series_is_gone_at_once(store: Store) -> None:
    load(store, "gone", {}, [1, 2, None, None])
    assert ask(store, "gone", 15) == {"__name__=gone": 2.0}
    assert ask(store, "gone", 20) == {}
    assert ask(store, "count_over_time(gone[1m])", 30) == {"": 2.0}


def test_lookback_is_five_minutes(store: Store) -> None:
    load(store, "old", {}, [1])
    assert ask(store, "old", 300) == {"__name__=old": 1.0}
    assert ask(store, "old", 301) == {}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("g * on (ns) info", 'found duplicate series for the match group {ns="x"} on the right hand-side'),
        ('g * on (ns) info{pod="a"}', "multiple matches for labels: many-to-one matching must be explicit"),
        ("sum by (ns) (g) * on (ns) group_left (node) info", "found duplicate series"),
        ('rate({__name__=~"c|g",pod="a"}[1m])', "vector cannot contain metrics with the same labelset"),
        ('label_replace(g, "pod", "same", "pod", ".*")', "vector cannot contain metrics with the same labelset"),
    ],
)
def test_failing_evaluations(store: Store, query: str, message: str) -> None:
    with pytest.raises(EvaluationFailed, match=message.replace("(", r"\(").replace("{", r"\{")):
        ask(store, query)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "1:1: parse error: no expression found in input"),
        ("up{", "1:4: parse error: unexpected end of input inside braces"),
        ("sum(nosuch(g))", '1:5: parse error: unknown function with name "nosuch"'),
        ("rate(g)", '1:1: parse error: expected type range vector in call to function "rate", got instant vector'),
        ("info(g)", '1:1: parse error: unknown function with name "info"'),
    ],
)
def test_bad_queries(store: Store, query: str, message: str) -> None:
    with pytest.raises(BadQuery) as caught:
        ask(store, query)
    assert str(caught.value) == message


def test_range_queries_step_through_time(store: Store) -> None:
    found = Engine(store).range("sum by (ns) (g)", T0, T0 + 60_000, 30_000)
    assert [(dict(s.labels), s.times, s.values) for s in found] == [
        ({"ns": "x"}, [T0, T0 + 30_000, T0 + 60_000], [8.0, 11.0, 14.0]),
        ({"ns": "y"}, [T0, T0 + 30_000, T0 + 60_000], [5.0, 3.0, 5.0]),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.1, "0.1"), (1e21, "1000000000000000000000"), (1e-7, "0.0000001"), (math.inf, "+Inf"),
     (-math.inf, "-Inf"), (math.nan, "NaN"), (6.6e-05, "0.000066"), (-0.0, "-0")],
)  # fmt: skip
def test_values_are_printed_as_go_does(value: float, text: str) -> None:
    assert format_value(value) == text


@given(
    st.lists(st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.5, -3.0])), min_size=1, max_size=60),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_the_store_gives_back_what_it_was_given(values: list[float | None], low: int, high: int) -> None:
    """Runs of equal values and staleness markers against a plain list."""
    store = Store()
    load(store, "m", {}, values, step_ms=1000)
    expected = []
    seen = False
    for index, value in enumerate(values):
        if value is not None:
            seen = True
            expected.append((T0 + index * 1000, value))
        elif seen:
            expected.append((T0 + index * 1000, STALE))
    wanted = [(t, v) for t, v in expected if T0 + low * 1000 <= t <= T0 + high * 1000 and not math.isnan(v)]
    series = store.select([])
    if not series:
        assert not seen
        return
    times, got = series[0].window(T0 + low * 1000, T0 + high * 1000)
    assert [(t, v) for t, v in zip(times, got, strict=True) if not math.isnan(v)] == wanted


def test_old_samples_are_forgotten() -> None:
    store = Store(retention_seconds=60)
    for second in range(200):
        samples = [(make_labels("m", ()), float(second)), (make_labels("k", ()), 1.0)]
        store.write("t", T0 + second * 1000, samples if second < 100 else samples[1:])
    assert [s.labels for s in store.all()] == [make_labels("k", ())]
    times, values = store.all()[0].window(0, T0 * 2)
    assert 60 <= len(times) <= 70
    assert set(values) == {1.0}
    assert times[-1] == T0 + 199_000
