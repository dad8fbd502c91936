"""The words of the reports: what each measure is called and means, in the order people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: key, title, what is counted, which way is better
PROPORTIONS = (
    ("clean", "Worlds without a miss", "scenarios in which everything was right", "high"),
    ("detected", "Detected", "faults with an event about them in time", "high"),
    ("rootCause", "Root cause", "faults whose cause and object were named rightly", "high"),
    ("rootCauseOfDetected", "Root cause, of the detected", "the same, of the faults that were detected", "high"),
    ("causeOnly", "Cause", "faults whose cause was named rightly, whatever the object", "high"),
    ("objectOnly", "Object", "faults whose object was named rightly, whatever the cause", "high"),
    ("healed", "Healed", "faults that can be healed: the event says so, and the world is well in time", "high"),
    ("healedAlone", "Healed without a person", "the same, and nobody had to approve", "high"),
    (
        "healedAloneWhereAllowed",
        "Healed without a person, where the policy allowed it",
        "the same, of the faults for which the policy did not want a person to agree",
        "high",
    ),
    ("rightFirst", "First action right", "faults acted on whose first action was a right one", "high"),
    ("rightFix", "Right fix found", "faults acted on with a right action among the actions", "high"),
    ("oneEvent", "One event a fault", "detected faults with a single event", "high"),
    ("restraint", "Held back", "faults that must not be acted on, and were not", "high"),
    ("healthyQuiet", "Healthy worlds left alone", "healthy worlds without a false alarm or an action", "high"),
    ("falseSuccess", "False success", "faults called healed whose world was not well at the end", "low"),
    ("scenariosWithFalseAlarms", "Worlds with false alarms", "scenarios with an event that nothing explains", "low"),
    ("scenariosWithUnsafeActions", "Worlds with unsafe actions", "scenarios with an action that must not be", "low"),
)

#: what people want to know first
HEADLINES = ("clean", "detected", "rootCause", "healed", "healthyQuiet", "restraint", "falseSuccess")

COUNTS = (
    ("unsafeActions", "Unsafe actions", "in all worlds"),
    ("falseSuccesses", "False successes", "called healed, not well"),
    ("unnoticedRecoveries", "Well, but not called healed", "the other way round"),
    ("wrongFixes", "Wrong fixes", "actions on faults that were none of the right ones"),
    ("falseAlarms", "False alarms", "events that nothing explains, in all worlds"),
    ("falseAlarmsPerHealthyMinute", "False alarms a healthy minute", "in worlds in which nothing is wrong"),
    ("noise", "Noise", "events that nothing explains and that went away by themselves"),
    ("extraEvents", "Extra events", "events beyond the first of each fault"),
    ("asked", "Faults for which a person was asked", "of those that can be healed"),
)

TIMES = (
    ("detection", "Detection", "from the step to the event"),
    ("Containment", "Containment", "hemostasis: stop the bleeding"),
    ("Diagnosis", "Diagnosis", "inflammation: name the cause"),
    (
        "MetaCognition",
        "MetaCognition",
        "proliferation: decide, act, verify; without waiting for people, other events and the cluster",
    ),
    ("planning", "In planning", "candidates, decision, and waiting for other events with the same cause"),
    ("healing", "In carrying out", "waiting for the limits, dry run, action"),
    ("verifying", "In verifying", "until the cluster has done it and it has stayed well long enough"),
    ("others", "Waiting for other events", "on no phase's clock"),
    ("cluster", "Waiting for the cluster", "on no phase's clock: pods that start, rollouts that proceed"),
    ("Knowledge", "Knowledge", "remodeling: remember"),
    ("total", "Total", "from detection to the end of events that were healed; only waiting for a person is not in it"),
    ("worldWell", "World well", "from detection until the world's own measure was well again"),
)


def result(scenario: Mapping[str, Any]) -> str:
    """What came of a scenario without misses, in a few words."""
    score = scenario["score"]
    if not score["ran"]:
        return f"could not be run: {scenario['problem']}"
    if scenario["healthy"]:
        count = len(score["noise"])
        return f"left alone ({count} went away by themselves)" if count else "left alone"
    expectations = score["expectations"]
    if all(each["mustNotAct"] for each in expectations):
        return "named, nothing done"
    seconds = [each["worldWellSeconds"] for each in expectations if each["worldWellSeconds"] is not None]
    if any(each["healable"] for each in expectations):
        return f"healed, well after {max(seconds):.0f} s" if seconds else "healed"
    return "named"


def reference(ref: Mapping[str, str]) -> str:
    """``Deployment shop/cart``"""
    if not ref:
        return ""
    place = "/".join(part for part in (ref.get("namespace", ""), ref.get("name", "")) if part)
    return f"{ref.get('kind', '')} {place}".strip()


def share(found: Mapping[str, Any]) -> str:
    """``12/14 = 86 % [60 %, 96 %]``"""
    if not found["of"]:
        return "none"
    low, high = found["low"], found["high"]
    return f"{found['count']}/{found['of']} = {found['proportion']:.0%} [{low:.0%}, {high:.0%}]"
