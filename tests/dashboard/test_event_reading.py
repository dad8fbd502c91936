"""What the event's page makes of the record: debate, evidence, links, diffs, charts, timeline, what to do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, strategies as st
from pytest_django import Settings

from healing.dashboard import charts, links, story, timeline
from healing.dashboard.debate import debates
from healing.dashboard.decision_view import DecisionView
from healing.dashboard.evidence import evidence_views, groups_of, lines_of
from healing.dashboard.plans import DiffLine, StrategyView
from healing.diagnosis.links import loki_query, prometheus_graph
from healing.models import ActionRun, HealingEvent, Strategy, TimelineEntry

NOW = datetime(2031, 5, 4, 12, 0, tzinfo=UTC)


def strategy(key: str, confidence: float, score: float, *arguments: tuple[str, float], state: str) -> StrategyView:
    turns = [
        {"turn": number, "topic": topic, "text": f"{topic} of {key}.", "weight": weight}
        for number, (topic, weight) in enumerate(arguments, start=1)
    ]
    return StrategyView(
        Strategy(key=key, title=key, attempt=1, confidence=confidence, score=score, arguments=turns, state=state)
    )


def test_memory_that_decided_is_named_with_the_order_there_would_be_without_it() -> None:
    rollback = strategy("rollback", 0.80, 0.7, ("diagnosis", 0.1), ("memory", 1.8), state="chosen")
    restart = strategy("restart", 0.50, 0.4, ("what changed", -0.4), ("memory", -0.5), state="proposed")
    debate = debates([restart, rollback])[0]
    assert [speech.strategy.row.key for speech in debate.speeches] == ["rollback", "restart"]
    # logit(0.8) - 1.8 is 40 %, logit(0.5) + 0.5 is 62 %
    assert debate.memory[-1] == "It decided: without it “restart” would be likeliest (62 %, 40 % for this one)."
    assert debate.tipped[0] == "For “rollback”: memory of rollback (+1.80)."
    assert debate.tipped[1] == "Against “restart”: memory of restart (-0.50)."
    assert debate.tipped[2] == "In the end it was worth 0.70 against 0.40."


def test_memory_that_did_not_decide_says_so_and_one_that_is_silent_is_not_spoken_of() -> None:
    rollback = strategy("rollback", 0.90, 0.7, ("memory", 0.5), state="chosen")
    restart = strategy("restart", 0.30, 0.2, ("cost", -0.4), state="proposed")
    assert debates([rollback, restart])[0].memory[-1].startswith("It did not decide: without it “rollback” would")
    silent = strategy("rollback", 0.90, 0.7, ("cost", 0.5), ("memory", 0.0), state="chosen")
    assert debates([silent, restart])[0].memory == []


@given(
    confidence=st.floats(0.02, 0.98),
    weights=st.lists(st.floats(-2, 2).map(lambda weight: round(weight, 2)), max_size=6),
)
def test_the_chances_of_a_debate_end_where_the_decision_was_made(confidence: float, weights: list[float]) -> None:
    view = strategy("x", confidence, 0.5, *[("topic", weight) for weight in weights], state="chosen")
    speech = debates([view])[0].speeches[0]
    turns = [turn for one in speech.rounds for turn in one.turns]
    assert len(turns) == len(weights)
    assert (turns[-1].after if turns else speech.start) == pytest.approx(confidence, abs=1e-6)
    for before, after in pairwise(turns):
        assert before.after == after.before
    assert speech.speaks_for - speech.speaks_against == pytest.approx(sum(weights))


def test_what_matched_in_a_line_is_marked_and_no_letter_is_lost() -> None:
    text = "12:00 starting\n12:01 cannot open /etc/totals.yaml: no such file\n12:02 bye"
    by_rule = lines_of(text, "log", ["/etc/totals.yaml: no such", "totals.yaml"])
    assert [line.matters for line in by_rule] == [False, True, False]
    assert [part.text for part in by_rule[1].parts if part.matched] == ["/etc/totals.yaml: no such"]
    by_words = lines_of(text, "log")
    assert [part.text for part in by_words[1].parts if part.matched] == ["cannot", "no such"]
    # A match over several lines marks each of them.
    assert [line.matters for line in lines_of("a\nTrace\n  at b\nc", "log", ["Trace\n  at b"])] == [
        False,
        True,
        True,
        False,
    ]


@given(text=st.text(max_size=60), highlight=st.lists(st.text(max_size=5) | st.integers(0, 5), max_size=4))
def test_parts_are_the_line(text: str, highlight: list[Any]) -> None:
    for line in lines_of(text, "log", highlight):
        assert "".join(part.text for part in line.parts) == line.text


def test_evidence_comes_by_kind_logs_first() -> None:
    found = groups_of(
        evidence_views([{"id": str(n), "kind": kind} for n, kind in enumerate(["spec", "odd", "log", "log"])])
    )
    assert [(group.title, len(group.items)) for group in found] == [("Logs", 2), ("Specs", 1), ("Odd", 1)]


def test_links_lead_to_grafana_with_the_same_query_where_there_is_one(settings: Settings) -> None:
    loki = loki_query("http://loki:3100", '{namespace="shop"} |= "a&b"', NOW)
    prometheus = prometheus_graph("http://prometheus:9090", "sum(rate(x[5m]))", NOW)
    settings.GRAFANA_URL = ""
    assert links.link_of(loki, "log") == links.Link(loki, "open in Loki")
    assert links.link_of(prometheus, "metric") == links.Link(prometheus, "open in Prometheus")
    assert links.link_of("", "log") is None
    settings.GRAFANA_URL = "https://grafana.example/"
    settings.GRAFANA_LOKI_DATASOURCE = "logs"
    link = links.link_of(loki, "log")
    assert link is not None
    assert link.words == "open in Grafana"
    parts = urlsplit(link.href)
    assert (parts.netloc, parts.path) == ("grafana.example", "/explore")
    pane = json.loads(parse_qs(parts.query)["panes"][0])["a"]
    assert pane["datasource"] == "logs"
    assert pane["queries"][0]["expr"] == '{namespace="shop"} |= "a&b"'
    assert int(pane["range"]["to"]) - int(NOW.timestamp() * 1000) == 1000
    other = links.link_of("https://runbooks.example/x", "alert")
    assert other == links.Link("https://runbooks.example/x", "open")


def test_a_diff_marks_what_differs_within_a_line_and_keeps_lines_that_stay() -> None:
    image = DiffLine("image", "registry/orders:2.4.1", "registry/orders:2.3.9").rows
    assert [(row.sign, row.changed) for row in image] == [("-", "4.1"), ("+", "3.9")]
    assert all(row.lead + row.changed + row.tail for row in image)
    block = DiffLine("config", "a: 1\nb: 2\nc: 3", "a: 1\nb: 5\nc: 3").rows
    assert [(row.sign, row.lead) for row in block] == [(" ", "a: 1"), ("-", "b: 2"), ("+", "b: 5"), (" ", "c: 3")]
    assert [(row.sign, row.lead) for row in DiffLine("x", None, "new").rows] == [("+", "new")]
    assert [(row.sign, row.lead) for row in DiffLine("x", "", None).rows] == [("-", "")]


@given(before=st.none() | st.text(max_size=30), after=st.none() | st.text(max_size=30))
def test_both_sides_of_a_diff_can_be_read_from_its_rows(before: str | None, after: str | None) -> None:
    rows = DiffLine("x", before, after).rows
    for side, sign in ((before, "-"), (after, "+")):
        text = "\n".join(row.lead + row.changed + row.tail for row in rows if row.sign in (sign, " "))
        assert text == (side or "")


def test_a_chart_tells_before_worst_and_now_and_reaches_to_the_recovery() -> None:
    start = NOW.timestamp()
    values = [[start + 15 * n, v] for n, v in enumerate([0.01, 0.02, 0.01, 0.4, 0.9, 0.7])]
    event = HealingEvent(detected_at=NOW + timedelta(seconds=60), healed_at=NOW + timedelta(seconds=110))
    action = ActionRun(action="rollback", applied_at=NOW + timedelta(seconds=90))
    data = {"values": values, "threshold": 0.05, "unit": "fraction"}
    views = evidence_views([{"id": "m", "kind": "metric", "title": "Failed requests", "data": data}])
    chart = charts.charts(event, views, [action])[0]
    assert (chart.before, chart.worst, chart.last) == ("1 %", "90 %", "70 %")
    assert [(mark.kind, mark.label) for mark in chart.marks] == [
        ("fault", "fault seen"),
        ("action", "roll back"),
        ("recovery", "healed"),
    ]
    assert [mark.x for mark in chart.marks] == sorted(mark.x for mark in chart.marks)
    assert chart.marks[0].x < chart.known_x < chart.marks[1].x < chart.marks[2].x < charts.WIDTH
    assert [row.values for row in chart.table] == [["1 %"], ["2 %"], ["1 %"], ["40 %"], ["90 %"], ["70 %"]]
    assert [row.mark for row in chart.table] == ["", "", "", "", "fault seen", ""]


def test_the_timeline_is_grouped_by_phase_and_goes_on_where_it_was() -> None:
    rows = [
        TimelineEntry(seq=seq, phase=phase, actor_kind=actor, at=NOW)
        for seq, (phase, actor) in enumerate(
            [
                ("Pending", "rule"),
                ("Containing", "system"),
                ("Diagnosing", "rule"),
                ("Planning", "llm"),
                ("AwaitingApproval", "person"),
                ("Healing", "system"),
                ("Completed", "system"),
            ],
            start=1,
        )
    ]
    views = list(timeline.entry_views(rows))
    assert [view.heading for view in views] == [
        "Containment", "", "Diagnosis", "MetaCognition", "", "", "End",
    ]  # fmt: skip
    assert [view.sort for view in views] == ["other", "done", "thinking", "thinking", "people", "done", "other"]
    assert [view.heading for view in timeline.entry_views(rows[5:], rows[4])] == ["", "End"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"phase": "Diagnosing"}, "at it"),
        ({"phase": "Escalated", "outcome": "escalated", "finished_at": NOW}, "go on from here"),
        ({"phase": "Completed", "outcome": "recovered", "finished_at": NOW}, "Nothing to do."),
    ],
)
def test_what_is_to_do(fields: dict[str, Any], words: str) -> None:
    todo = story.to_do(HealingEvent(**fields), None, DecisionView("", "", ""))
    assert todo is not None
    assert words in todo.text
    assert todo.is_mine == (fields["phase"] == "Escalated")
