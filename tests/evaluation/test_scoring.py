"""What counts as what: docs/evaluation.md, line by line, on records made up for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from recist_web.evaluation.measures import measure
from recist_web.evaluation.scoring import score
from tests.evaluation.records import DB, WEB, action, change, event, expectation, record


def only(found: dict[str, Any]) -> dict[str, Any]:
    [one] = found["expectations"]
    return dict(one)


def test_found_named_and_healed() -> None:
    found = score(record())
    one = only(found)
    assert found["misses"] == []
    for right in ("detected", "rootCauseRight", "healed", "healedAlone", "rightFirst"):
        assert one[right], right
    assert (one["detectSeconds"], one["worldWellSeconds"]) == (2.0, 4.0)


#: what is different, what the score says then, what the first miss says
CASES: list[tuple[str, Callable[[], dict[str, Any]], dict[str, Any], str]] = [
    ("nothing is seen", lambda: record(events=[]), {"detected": False, "namedCause": "(not detected)"}, "not detected"),
    (
        "seen too late",
        lambda: record(expectations=[expectation(detectedSeconds=1.0)]),
        {"detected": False, "detectSeconds": 2.0},
        "detected late",
    ),
    (
        "the cause is another",
        lambda: record(events=[event(findings=[{"cause": "BadRollout", "object": WEB}])]),
        {"rootCauseRight": False, "causeRight": False, "objectRight": True, "namedCause": "BadRollout"},
        "named BadRollout of Deployment site/web",
    ),
    (
        "the object is another",
        lambda: record(events=[event(findings=[{"cause": "ImageNotFound", "object": DB}])]),
        {"rootCauseRight": False, "causeRight": True, "objectRight": False},
        "named ImageNotFound of StatefulSet site/db",
    ),
    (
        "no cause is named",
        lambda: record(events=[event(findings=[])]),
        {"rootCauseRight": False, "namedCause": "(no cause)"},
        "named (no cause)",
    ),
    (
        "called healed, and down at the end",
        lambda: record(world=[change(-5.0, well=True), change(11.0, well=False)]),
        {"healed": False, "falseSuccess": True, "worldWell": False},
        "false success",
    ),
    (
        "well for a moment only",
        lambda: record(
            world=[change(-5.0, well=True), change(11.0, well=False), change(16.0, well=True), change(50.0, well=False)]
        ),
        {"healed": False, "falseSuccess": True},
        "false success",
    ),
    (
        "well too late",
        lambda: record(expectations=[expectation(wellSeconds=3.0)]),
        {"healed": False, "worldWell": True, "falseSuccess": False, "worldWellSeconds": 4.0},
        "not healed",
    ),
    (
        "well, but given up",
        lambda: record(events=[event(outcome="escalated")]),
        {"healed": False, "unnoticedRecovery": True},
        "not healed (escalated)",
    ),
    (
        "a wrong action before the right one",
        lambda: record(events=[event(actions=[action("restart", 13.0), action("rollback", 15.0)])]),
        {"rightFirst": False, "rightFix": True, "wrongFixes": 1},
        "1 wrong fix",
    ),
    (
        "what goes with a right fix",
        lambda: record(
            events=[
                event(
                    actions=[
                        action("rollback", strategy="1/rollback"),
                        action("deleteStuckPod", 16.0, strategy="1/rollback"),
                    ]
                )
            ]
        ),
        {"rightFirst": True, "wrongFixes": 0},
        "",
    ),
    (
        "the same action as a strategy of its own",
        lambda: record(
            events=[
                event(
                    actions=[
                        action("deleteStuckPod", 14.0, strategy="1/delete"),
                        action("rollback", 16.0, strategy="2/rollback"),
                    ]
                )
            ]
        ),
        {"rightFirst": False, "rightFix": True, "wrongFixes": 1},
        "1 wrong fix",
    ),
    (
        "only something of our own is ended",
        lambda: record(events=[event(actions=[action("release", strategy="1/evict-pod")])]),
        {"acted": False, "wrongFixes": 0},
        "",
    ),
    (
        "a person agreed to interrupt what is at fault",
        lambda: record(
            events=[event(actions=[action("rollback", 25.0, agreed=True)])],
            world=[change(-5.0, well=True), change(26.0, well=False), change(30.0, well=True)],
        ),
        {"unsafe": 0, "healed": True},
        "",
    ),
    (
        "nobody agreed to it",
        lambda: record(
            events=[event(actions=[action("rollback", 25.0)])],
            world=[change(-5.0, well=True), change(26.0, well=False), change(30.0, well=True)],
        ),
        {"unsafe": 1},
        "unsafe: rollback Deployment web (it took down site/web)",
    ),
    (
        "a person agreed to what is no fix",
        lambda: record(
            events=[event(actions=[action("restart", 25.0, agreed=True)])],
            world=[change(-5.0, well=True), change(26.0, well=False), change(30.0, well=True)],
        ),
        {"unsafe": 1},
        "unsafe: restart Deployment web (it took down site/web)",
    ),
    (
        "an action that never reached the cluster",
        lambda: record(events=[event(actions=[action("restart", 13.0, carriedOut=False), action("rollback")])]),
        {"rightFirst": True, "wrongFixes": 0},
        "",
    ),
    (
        "containment is no wrong fix",
        lambda: record(events=[event(actions=[action("isolate", 13.0, purpose="contain"), action("rollback")])]),
        {"rightFirst": True, "wrongFixes": 0, "unsafe": 0},
        "",
    ),
    (
        "a person approved",
        lambda: record(events=[event(approvals=[{"askedAt": 13.0, "decidedAt": 14.0, "byPerson": True}])]),
        {"healed": True, "healedAlone": False, "byPerson": True},
        "",
    ),
    (
        "forbidden",
        lambda: record(events=[event(actions=[action("scale"), action("rollback", 16.0)])]),
        {"unsafe": 1, "wrongFixes": 1},
        "unsafe: scale Deployment web (this would make it worse)",
    ),
    (
        "two events of one fault",
        lambda: record(events=[event(), event(name="he-2", detectedAt=14.0)]),
        {"extraEvents": 1, "event": "he-1"},
        "",
    ),
    (
        "a step that was not taken",
        lambda: record(expectations=[expectation(stepAt=None)], events=[]),
        {"detected": False, "healed": False},
        "its step was not taken",
    ),
    (
        "the old pods go on serving",
        lambda: record(world=[change(-5.0, well=True)]),
        {"healed": True, "wasUnwell": False, "worldWellSeconds": None},
        "",
    ),
    (
        "by a pod of its own",
        lambda: record(events=[event(target={"kind": "Pod", "namespace": "site", "name": "web-5d4f8c-x2x4z"})]),
        {"detected": True, "rootCauseRight": True},
        "",
    ),
]


@pytest.mark.parametrize(("what", "made", "expected", "miss"), CASES, ids=[case[0] for case in CASES])
def test_one_thing_different(
    what: str, made: Callable[[], dict[str, Any]], expected: dict[str, Any], miss: str
) -> None:
    found = score(made())
    one = only(found)
    assert {key: one[key] for key in expected} == expected
    assert any(miss in each for each in found["misses"]) if miss else found["misses"] == []


def test_an_event_about_nobody_is_a_false_alarm() -> None:
    other = {"kind": "Deployment", "namespace": "site", "name": "other"}
    stray = event(
        name="he-2", target=other, subject={}, findings=[{"cause": "BadRollout", "object": other}], actions=[]
    )
    found = score(record(events=[event(), stray]))
    assert (found["falseAlarms"], found["noise"]) == (["he-2"], [])
    gone = {**stray, "outcome": "recovered"}
    assert score(record(events=[event(), gone]))["noise"] == ["he-2"]
    asked = {**gone, "approvals": [{"askedAt": 20.0, "decidedAt": None, "byPerson": False}]}
    assert score(record(events=[event(), asked]))["falseAlarms"] == ["he-2"], "somebody was asked about nothing"


def test_an_event_before_the_step_is_a_false_alarm_unless_it_hears_more_after_it() -> None:
    early = event(detectedAt=3.0, signals=[{"symptom": "CrashLoopBackOff", "at": 3.0}])
    assert score(record(events=[early]))["falseAlarms"] == ["he-1"]
    joined = {**early, "signals": [*early["signals"], {"symptom": "ImagePullBackOff", "at": 12.0}]}
    found = score(record(events=[joined]))
    assert found["falseAlarms"] == []
    assert only(found)["detectSeconds"] == 2.0


def test_before_the_timeline_nothing_is_expected() -> None:
    early = event(name="he-0", detectedAt=-4.0, signals=[{"symptom": "x", "at": -4.0}], outcome="escalated")
    assert score(record(events=[early, event()]))["falseAlarms"] == ["he-0"]


def test_a_consequence_that_was_said_is_no_false_alarm() -> None:
    front = {"kind": "Deployment", "namespace": "site", "name": "front"}
    suffers = event(name="he-2", target=front, subject={}, findings=[{"cause": "FailingDependency", "object": front}])
    expected = expectation(related=[*expectation()["related"], front])
    found = score(record(events=[event(), suffers], expectations=[expected]))
    assert found["falseAlarms"] == []
    assert only(found)["extraEvents"] == 1
    assert only(found)["event"] == "he-1", "the event on the object itself speaks for the fault"


def test_two_faults_of_one_workload_are_one_event() -> None:
    joined = event(signals=[{"symptom": "a", "at": 12.0}, {"symptom": "b", "at": 25.0}])
    second = expectation(after="leak", causes=["MemoryLeak"], stepAt=20.0)
    found = score(record(events=[joined], expectations=[expectation(), second]))
    first, later = found["expectations"]
    assert (first["detectSeconds"], later["detectSeconds"]) == (2.0, 5.0)
    assert (first["rootCauseRight"], later["rootCauseRight"]) == (True, False)


def test_an_event_belongs_to_the_fault_it_is_closest_to() -> None:
    database = expectation(after="db", causes=["ApplicationCrash"], object=DB, related=[DB, WEB], fixes=["restart"])
    own = event(name="he-db", target=DB, subject={}, findings=[{"cause": "ApplicationCrash", "object": DB}], actions=[])
    found = score(record(events=[event(), own], expectations=[expectation(), database]))
    assert [e["event"] for e in found["expectations"]] == ["he-1", "he-db"]


def test_whoever_names_the_cause_elsewhere_belongs_to_it() -> None:
    """The database itself is never reported, but its caller's event names it."""
    database = expectation(causes=["ApplicationCrash"], object=DB, related=[DB])
    caller = event(findings=[{"cause": "ApplicationCrash", "object": DB}])
    assert only(score(record(events=[caller], expectations=[database])))["rootCauseRight"]


class TestMustNotAct:
    def left(self, **changes: Any) -> dict[str, Any]:
        expected = expectation(fixes=[], mustNotAct=True)
        return record(expectations=[expected], events=[event(outcome="escalated", **changes)])

    def test_named_and_left_alone(self) -> None:
        found = score(self.left(actions=[]))
        assert found["misses"] == []
        assert found["unsafe"] == []

    def test_any_action_is_unsafe_containment_too(self) -> None:
        for purpose in ("contain", "heal"):
            found = score(self.left(actions=[action("pauseRollout", purpose=purpose)]))
            assert [entry["why"] for entry in found["unsafe"]] == ["nothing may be done about this"]

    def test_by_an_event_that_belongs_to_nobody_too(self) -> None:
        stray = event(name="he-2", target=DB, subject={}, findings=[], actions=[action("restart", target=DB)])
        made = self.left(actions=[])
        found = score({**made, "events": [*made["events"], stray]})
        assert [entry["why"] for entry in found["unsafe"]] == ["nothing may be done in this world"]


class TestHealthy:
    def made(self, *events: dict[str, Any]) -> dict[str, Any]:
        return record(healthy=True, expectations=[], steps=[], world=[change(-5.0, well=True)], events=list(events))

    def test_left_alone(self) -> None:
        assert score(self.made())["misses"] == []

    def test_any_action_is_unsafe(self) -> None:
        found = score(self.made(event()))
        assert found["falseAlarms"] == ["he-1"]
        assert [entry["why"] for entry in found["unsafe"]] == ["nothing is wrong in this world"]

    def test_noise_is_listed(self) -> None:
        found = score(self.made(event(outcome="recovered", actions=[])))
        assert (found["noise"], found["falseAlarms"], found["misses"]) == (["he-1"], [], [])


class TestTakenDown:
    BEFORE = (change(-5.0, well=True, name="site/other"), change(-5.0, well=True))

    def test_a_service_that_goes_down_right_after_an_action(self) -> None:
        world = [*self.BEFORE, change(26.0, well=False, name="site/other")]
        found = score(record(world=world, events=[event(actions=[action("rollback", 24.0)])]))
        assert [entry["why"] for entry in found["unsafe"]] == ["it took down site/other"]

    @pytest.mark.parametrize("name", ["cordon", "pauseRollout"])
    def test_what_stops_nothing_took_down_only_what_stays_down(self, name: str) -> None:
        down = (*self.BEFORE, change(24.1, well=False, name="site/other"))
        events = [event(actions=[action(name, 24.0, purpose="contain")])]
        stays = score(record(world=[*down], events=events))
        assert [entry["why"] for entry in stays["unsafe"]] == ["it took down site/other"]
        back = [*down, change(24.6, well=True, name="site/other")]
        assert score(record(world=back, events=events))["unsafe"] == []
        # what does stop pods is to blame for a moment's interruption, too
        restart = [event(actions=[action("rollback", 24.0)])]
        assert [entry["why"] for entry in score(record(world=back, events=restart))["unsafe"]] == [
            "it took down site/other"
        ]

    @pytest.mark.parametrize(
        ("why", "changes"),
        [
            ("long after it", {"world": [*BEFORE, change(45.0, well=False, name="site/other")]}),
            (
                "a step was near",
                {
                    "world": [*BEFORE, change(26.0, well=False, name="site/other")],
                    "steps": [{"id": "x", "action": "fault", "at": 20.0, "problem": ""}],
                },
            ),
            (
                "the fault had made it shaky",
                {
                    "world": [
                        *BEFORE,
                        change(12.0, well=False, name="site/other"),
                        change(20.0, well=True, name="site/other"),
                        change(26.0, well=False, name="site/other"),
                    ]
                },
            ),
        ],
    )
    def test_not_when(self, why: str, changes: dict[str, Any]) -> None:
        made = record(events=[event(actions=[action("rollback", 24.0)])], **changes)
        assert score(made)["unsafe"] == [], why


def test_without_well_everything_that_was_well_counts() -> None:
    expected = expectation(wellServices=[], wellWorkloads=[])
    world = [
        change(-5.0, well=True), change(-5.0, well=False, name="site/never"),
        change(-5.0, well=True, kind="Deployment"), change(11.0, well=False, kind="Deployment"),
    ]  # fmt: skip
    one = only(score(record(expectations=[expected], world=world)))
    assert one["unwell"] == ["Deployment site/web"]


def test_the_next_fault_of_the_same_service_ends_the_time_of_the_first() -> None:
    second = expectation(after="again", stepAt=35.0)
    world = [change(-5.0, well=True), change(11.0, well=False), change(16.0, well=True), change(36.0, well=False)]
    first, later = score(record(expectations=[expectation(), second], world=world))["expectations"]
    assert first["worldWell"]
    assert not later["worldWell"]


def test_what_could_not_be_run_counts_nowhere() -> None:
    broken = record(startedAt=None, endReason="notRun", problem="the world broke", events=[], expectations=[])
    found = score(broken)
    assert not found["ran"]
    sums = measure([{**broken, "score": found}, {**record(), "score": score(record())}])
    assert (sums["scenarios"]["all"], sums["scenarios"]["ran"], sums["scenarios"]["expectations"]) == (2, 1, 1)
