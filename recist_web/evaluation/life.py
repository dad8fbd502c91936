"""The life of one scenario: its world comes up, the product begins to watch, the timeline plays, all comes to rest."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import httpx
from celery import current_app

from healing.lifecycle import Phase
from healing.ports.errors import SourceError
from healing.sandbox.scenarios import Scenario, load_scenario
from recist_web.evaluation import glance, matching
from recist_web.evaluation.hosts import Hosts
from recist_web.evaluation.preparation import policies_of, prepare
from recist_web.evaluation.record import events_of
from recist_web.evaluation.relations import related

State = Literal["waiting", "rising", "preparing", "syncing", "remembering", "playing", "over"]
#: how long each state before the timeline may take; a scenario that does not get further could not be run
_PATIENCE_SECONDS = {"rising": 180.0, "preparing": 60.0, "syncing": 120.0}
#: upkeep looks at the configuration twice a minute; it is asked to at once, and not waited for longer than this
_REMEMBER_SECONDS = 10.0
_UPKEEP = ("healing.tasks.remember_config_of",)
_QUIET_SECONDS = 10.0
#: where nothing may be done: so long it is watched whether anything is done after all
_RESTRAINT_SECONDS = 20.0
#: verification and other strategies go on after what an expectation allows; so long it is watched what they do
_GRACE_SECONDS = 45.0


class Life:
    """``look`` is called again and again until ``is_over``. Never raises: what cannot be run says why."""

    def __init__(self, entry: dict[str, Any], hosts: Hosts, pool: ThreadPoolExecutor) -> None:
        self.name: str = entry["name"]
        self._entry = entry
        self._hosts = hosts
        self._pool = pool
        self._scenario: Scenario = load_scenario(entry["file"])
        self._state: State = "waiting"
        self._since = time.time()
        self._preparing: Future[None] | None = None
        self._times: dict[str, float] = {}
        self._end_reason = ""
        self._problem = ""
        #: when an event was last opened or moved
        self._moved_at = 0.0
        self._seen: dict[str, int] = {}
        self._expected: list[dict[str, Any]] = [
            {
                "after": e.after,
                "causes": list(e.causes),
                "object": dict(e.object),
                "related": related(self._scenario, e),
                "detectedSeconds": e.detected_seconds,
                "fixes": list(e.fixes),
                "forbidden": list(e.forbidden),
                "mustNotAct": e.must_not_act,
                "wellServices": list(e.well_services),
                "wellWorkloads": list(e.well_workloads),
                "wellSeconds": e.well_seconds,
                "stepAt": None,
            }
            for e in self._scenario.expectations
            if not e.healthy
        ]

    @property
    def is_playing(self) -> bool:
        return self._state == "playing"

    @property
    def is_over(self) -> bool:
        return self._state == "over"

    def must_not_act_on(self, target: dict[str, str]) -> bool:
        """Whether a knowing person would leave what waits for approval on this target."""
        event = {"name": "", "target": target, "detectedAt": 0.0}
        closest = max(self._expected, key=lambda e: matching.closeness(event, e), default=None)
        if closest is not None and matching.closeness(event, closest):
            return bool(closest["mustNotAct"])
        return bool(self._expected) and all(e["mustNotAct"] for e in self._expected)

    # the states

    def look(self, status: dict[str, Any] | None, events: list[dict[str, Any]]) -> None:
        """One round. ``status`` is the host's; None: the host does not answer."""
        if self._state == "waiting":
            self._act("start")
            self._enter("rising")
        elif status is None or status["state"] == "failed":
            self.give_up(f"the world broke: {status['error']}" if status else "the world's process does not answer")
        elif self._state in _PATIENCE_SECONDS and time.time() - self._since > _PATIENCE_SECONDS[self._state]:
            self.give_up(f"it was still {self._state} after {_PATIENCE_SECONDS[self._state]:g} s")
        else:
            getattr(self, f"_look_{self._state}")(status, events)

    def _look_rising(self, status: dict[str, Any], _events: list[dict[str, Any]]) -> None:
        if status["problems"]:
            self.give_up("; ".join(status["problems"]))
        elif status["state"] == "up":
            unwell = self._unwell_targets(status["unwell"])
            if unwell:
                self.give_up(f"not well to begin with: {', '.join(unwell)}")
                return
            self._preparing = self._pool.submit(
                prepare, Path(self._entry["adminKubeconfig"]), self._scenario, self._entry["consult"]
            )
            self._enter("preparing")

    def _unwell_targets(self, unwell: list[str]) -> list[str]:
        """Of the world's "KIND NAMESPACE/NAME" those that are to be well again: they have to be well before."""
        wanted = {f"Service {name}" for e in self._expected for name in e["wellServices"]}
        workloads = {name for e in self._expected for name in e["wellWorkloads"]}
        return [u for u in unwell if u in wanted or (not u.startswith("Service ") and u.split(" ")[1] in workloads)]

    def _look_preparing(self, _status: dict[str, Any], _events: list[dict[str, Any]]) -> None:
        assert self._preparing is not None
        if not self._preparing.done():
            return
        try:
            self._preparing.result()
            # Only now does the product find the cluster: until then its kubeconfig is not there.
            shutil.copyfile(self._entry["adminKubeconfig"], self._entry["kubeconfig"])
        except (SourceError, OSError) as error:
            self.give_up(f"the cluster could not be prepared: {error}")
            return
        self._enter("syncing")

    def _look_syncing(self, _status: dict[str, Any], _events: list[dict[str, Any]]) -> None:
        if glance.is_watched(self.name, len(policies_of(self._scenario, self._entry["consult"]))):
            for task in _UPKEEP:
                current_app.send_task(task, args=[self.name], queue="knowledge")
            self._enter("remembering")

    def _look_remembering(self, _status: dict[str, Any], _events: list[dict[str, Any]]) -> None:
        there = sum(1 for m in self._scenario.manifests if m["kind"] == "ConfigMap")
        if glance.remembered(self.name) >= there or time.time() - self._since > _REMEMBER_SECONDS:
            self._act("go")
            self._enter("playing")

    def _look_playing(self, status: dict[str, Any], events: list[dict[str, Any]]) -> None:
        if status["startedAt"] is None:
            return
        started, now = status["startedAt"], time.time()
        for each, step_at in zip(self._expected, self._step_times(), strict=True):
            each["stepAt"] = started + step_at
        for event in events:
            if self._seen.get(event["name"]) != event["seq"]:
                self._seen[event["name"]] = event["seq"]
                self._moved_at = now
        reason = self._why_over(status, events, now, started)
        if reason:
            self._end(reason)

    def _step_times(self) -> list[float]:
        steps = {step.id: step.at_seconds for step in self._scenario.timeline}
        return [steps[each["after"]] for each in self._expected]

    def _why_over(self, status: dict[str, Any], events: list[dict[str, Any]], now: float, started: float) -> str:
        if status["timelineEndedAt"] is None:
            return ""
        last_step = max((s.at_seconds for s in self._scenario.timeline), default=0.0)
        if not self._expected:
            return "observed" if now > status["timelineEndedAt"] + self._entry["observeSeconds"] else ""
        if now > max(started + last_step, *(self._due(n, events) for n in range(len(self._expected)))) + _GRACE_SECONDS:
            return "limit"
        quiet = now - max(self._moved_at, status["timelineEndedAt"])
        needed = _RESTRAINT_SECONDS if any(e["mustNotAct"] for e in self._expected) else _QUIET_SECONDS
        settled = all(self._is_settled(n, events, status, now) for n in range(len(self._expected)))
        return "settled" if settled and quiet > needed and all(map(_rests, events)) else ""

    def _due(self, number: int, events: list[dict[str, Any]]) -> float:
        """Until when the fault should have been healed, or left alone for long enough."""
        each = self._expected[number]
        seen = [matching.seen_at(event, each["stepAt"]) for event in matching.events_of(number, events, self._expected)]
        detected = min(
            (moment for moment in seen if moment is not None), default=each["stepAt"] + each["detectedSeconds"]
        )
        return float(detected + (_RESTRAINT_SECONDS if each["mustNotAct"] else max(each["wellSeconds"], 60.0)))

    def _is_settled(self, number: int, events: list[dict[str, Any]], status: dict[str, Any], now: float) -> bool:
        each = self._expected[number]
        about = matching.events_of(number, events, self._expected)
        deadline = each["stepAt"] + each["detectedSeconds"]
        if not about:
            return bool(now > deadline)
        if each["mustNotAct"] or not any(event["outcome"] == "healed" for event in about):
            return True  # nothing more will be done; the quiet at the end gives it the time to prove otherwise
        return not self._unwell_targets(status["unwell"]) or bool(now > deadline + each["wellSeconds"])

    # the end

    def give_up(self, problem: str) -> None:
        """It could not be run, or not to its end."""
        self._problem = problem
        self._end("notRun")

    def _end(self, reason: str) -> None:
        self._end_reason = reason
        self._enter("over")

    def stop_world(self) -> None:
        try:
            self._hosts.act(self._entry["host"], self.name, "stop")
        except httpx.HTTPError:
            return  # it is down already

    def record(self) -> dict[str, Any]:
        """Everything that scoring needs, as JSON; times are seconds since the timeline began."""
        scenario = self._scenario
        base: dict[str, Any] = {
            "name": self.name,
            "title": scenario.title,
            "tags": list(scenario.tags),
            "family": self._entry["family"],
            "split": self._entry["split"],
            "healthy": scenario.healthy,
            "endReason": self._end_reason,
            "problem": self._problem,
        }
        try:
            history = self._hosts.history(self._entry["host"], self.name)
        except httpx.HTTPError:
            history = {"startedAt": None, "played": [], "changes": []}
        started = history["startedAt"]
        if started is None:
            return {**base, "startedAt": None, "setUpSeconds": None, "observedSeconds": 0.0, "steps": [],
                    "world": [], "expectations": [], "events": []}  # fmt: skip
        relative = _Relative(started)
        times = {p["id"]: relative(p["at"]) for p in history["played"]}
        expectations = [{**each, "stepAt": times.get(each["after"])} for each in self._expected]
        return {
            **base,
            "startedAt": started,
            "setUpSeconds": round(started - self._times["rising"], 1),
            "observedSeconds": relative(self._times["over"]),
            "steps": [{**p, "at": relative(p["at"])} for p in history["played"]],
            "world": [{**change, "at": relative(change["at"])} for change in history["changes"]],
            "expectations": expectations,
            "events": [relative.event(event) for event in events_of(self.name)],
        }

    def _act(self, verb: str) -> None:
        try:
            self._hosts.act(self._entry["host"], self.name, verb)
        except httpx.HTTPError as error:
            self.give_up(f"the world's process does not answer: {error}")

    def _enter(self, state: State) -> None:
        if self._state == "over":
            return
        self._state, self._since = state, time.time()
        self._times[state] = self._since


def _rests(event: dict[str, Any]) -> bool:
    """Nothing happens to it any more, unless a person decides."""
    return bool(event["finished"]) or event["phase"] == Phase.AWAITING_APPROVAL


class _Relative:
    """Seconds since the epoch to seconds since the timeline began."""

    def __init__(self, started: float) -> None:
        self._started = started

    def __call__(self, moment: float | None) -> Any:
        return None if moment is None else round(moment - self._started, 2)

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        times = ("detectedAt", "lastSeenAt", "containedAt", "diagnosedAt", "healedAt", "finishedAt")
        nested = {"signals": ("at",), "actions": ("appliedAt", "undoneAt"), "approvals": ("askedAt", "decidedAt"),
                  "timeline": ("at",)}  # fmt: skip
        result = {**event, **{name: self(event[name]) for name in times}}
        for field, names in nested.items():
            result[field] = [{**item, **{n: self(item[n]) for n in names}} for item in event[field]]
        return result
