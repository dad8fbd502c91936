"""What the sums over all worlds count, and what they leave out."""

from __future__ import annotations

from recist_web.evaluation.measures import measure
from recist_web.evaluation.scoring import score
from tests.evaluation.records import event, expectation, record


def test_the_sums() -> None:
    healthy = record(name="calm", healthy=True, family="healthy", expectations=[], steps=[], events=[event()])
    missed = record(name="missed", events=[])
    kept = record(
        expectations=[expectation(mustNotAct=True, fixes=[])], events=[event(actions=[], outcome="escalated")]
    )
    sums = measure([{**r, "score": score(r)} for r in (record(), missed, kept, healthy)])
    shares = {key: (value["count"], value["of"]) for key, value in sums["proportions"].items()}
    assert shares["detected"] == (2, 3)
    assert shares["rootCause"] == (2, 3)
    assert shares["healed"] == (1, 2)
    assert shares["restraint"] == (1, 1)
    assert shares["healthyQuiet"] == (0, 1)
    assert shares["falseSuccess"] == (0, 1)
    assert sums["counts"]["falseAlarmsPerHealthyMinute"] == 1.0
    assert sums["counts"]["unsafeActions"] == 1
    assert sums["times"]["detection"]["n"] == 2
    assert sums["times"]["total"]["withinBudget"]["count"] == 1
    assert {"expected": "ImageNotFound", "named": "(not detected)", "count": 1} in sums["confusion"]
    assert sums["families"]["healthy"]["falseAlarms"] == 1


def test_who_was_asked_by_the_policy_is_not_in_the_sum_of_what_it_allows() -> None:
    agreed = [{"askedAt": 13.0, "decidedAt": 14.0, "byPerson": True}]
    worlds = [
        record(),
        record(events=[event(approvals=agreed, askedByPolicy=True)]),
        record(events=[event(approvals=agreed, askedByPolicy=False)]),  # in doubt, not by the policy
        record(events=[event(outcome="escalated", actions=[])]),
    ]
    found = measure([{**one, "score": score(one)} for one in worlds])["proportions"]
    assert (found["healedAlone"]["count"], found["healedAlone"]["of"]) == (1, 4)
    allowed = found["healedAloneWhereAllowed"]
    assert (allowed["count"], allowed["of"]) == (1, 3)
