"""What the pages make of the data: words, diffs, evidence, graphs, charts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from healing.dashboard import charts, graph, words
from healing.dashboard.evidence import lines_of
from healing.dashboard.plans import diffs_of


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.21, "4.2 s"),
        (9.97, "10 s"),
        (59.6, "1 m 0 s"),
        (80, "1 m 20 s"),
        (7500, "2 h 5 m"),
        (-3, "0.0 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("code", "text"),
    [("BadRollout", "bad rollout"), ("OOMKilled", "OOM killed"), ("HighCPUUse", "high CPU use"), ("x", "x"), ("", "")],
)
def test_codes_in_words(code: str, text: str) -> None:
    assert words.humanize(code) == text


def test_a_diff_groups_by_object_and_tells_absence_from_emptiness() -> None:
    one, two = {"kind": "Deployment", "namespace": "a", "name": "x"}, {"kind": "Node", "name": "n"}
    found = diffs_of(
        [
            {"object": one, "path": "spec.replicas", "before": 1, "after": 2},
            {"object": two, "path": "spec.unschedulable", "before": None, "after": True},
            {"object": "Deployment a/x", "path": "env", "before": "", "after": None},
        ]
    )
    assert [diff.object for diff in found] == ["Deployment a/x", "Node n"]
    assert [(line.before, line.after) for line in found[0].lines] == [("1", "2"), ("", None)]
    assert [(line.before, line.after) for line in found[1].lines] == [(None, "true")]


def test_the_lines_that_matter_are_marked_and_quiet_ones_folded() -> None:
    text = "\n".join(["ok"] * 20 + ["panic: boom"] + ["ok"] * 20)
    lines = lines_of(text, "log")
    assert [line.text for line in lines if line.matters] == ["panic: boom"]
    assert sum(line.skipped or 1 for line in lines) == 41, "no line is lost"
    assert len(lines) == 7
    assert [line.number for line in lines if line.matters] == [21]


def test_a_diagnosis_may_say_itself_which_lines_matter() -> None:
    assert [x.matters for x in lines_of("a error\nb\nc", "log", [2])] == [False, True, False]
    assert [x.matters for x in lines_of("a error\nb\nc", "log", ["c"])] == [False, False, True]
    assert not any(line.matters for line in lines_of("errors: 0", "spec"))
    assert lines_of("", "log") == lines_of("  \n", "log") == []


def test_a_graph_runs_from_cause_to_symptom() -> None:
    raw = {
        "nodes": [{"id": n, "kind": "event", "label": n} for n in "cab"],
        "edges": [{"source": "a", "target": "b", "kind": "causes"}, {"source": "b", "target": "c", "kind": "causes"}],
    }
    drawn = graph.layout(raw)
    assert drawn is not None
    x = {node.id: node.x for node in drawn.nodes}
    assert x["a"] < x["b"] < x["c"]


ids = st.sampled_from("abcdefgh")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(ids, max_size=8, unique=True),
    st.lists(st.tuples(ids, ids, st.sampled_from(["causes", "odd"])), max_size=24),
    st.text(max_size=200),
)
def test_any_graph_can_be_drawn_without_overlaps(
    nodes: list[str], edges: list[tuple[str, str, str]], label: str
) -> None:
    raw = {
        "nodes": [{"id": node, "kind": "symptom", "label": label} for node in nodes],
        "edges": [{"source": s, "target": t, "kind": k} for s, t, k in edges],
    }
    drawn = graph.layout(raw)
    if not nodes:
        assert drawn is None
        return
    assert drawn is not None
    assert {node.id for node in drawn.nodes} == set(nodes)
    assert len(drawn.edges) == sum(s in nodes and t in nodes and s != t for s, t, _ in edges)
    for index, one in enumerate(drawn.nodes):
        assert one.x >= 0 <= one.y
        assert one.x + drawn.node_width <= drawn.width
        assert one.y + one.height <= drawn.height
        for other in drawn.nodes[index + 1 :]:
            apart = abs(one.x - other.x) >= drawn.node_width or (
                one.y + one.height <= other.y or other.y + other.height <= one.y
            )
            assert apart


junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["values", "series", "unit"]), inner),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(junk)
def test_odd_metric_data_draws_nothing_and_breaks_nothing(data: Any) -> None:
    from healing.dashboard.evidence import evidence_views
    from healing.models import HealingEvent

    event = HealingEvent(detected_at=datetime.now(UTC))
    views = evidence_views([{"id": "m", "kind": "metric", "data": data if isinstance(data, dict) else {}}])
    for chart in charts.charts(event, views, []):
        assert chart.lines


def test_quantities_are_read_in_their_unit() -> None:
    assert charts.quantity(327155712, "bytes") == "312 MiB"
    assert charts.quantity(0.481, "fraction") == "48.1 %"
    assert charts.quantity(0.23, "seconds") == "230 ms"
