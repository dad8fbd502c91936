"""Jobs that gave up or were stopped at their deadline."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers.common import status_evidence
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.reading import Object
from healing.diagnosis.scene import Scene, containers_of
from healing.diagnosis.snapshot import recent
from healing.ports.cluster import ObjectRef

#: A Job that failed longer ago is history, unless it is the last of its CronJob.
_LATELY = timedelta(hours=24)


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """JobFailed, JobDeadlineExceeded."""
    for job in scene.snapshot.of_kind("Job"):
        if not scene.covers(r.text(job, "metadata", "namespace")):
            continue
        owner = scene.snapshot.controller(job)
        if owner is None or owner.kind != "CronJob":
            yield from _job(scene, job)
    for cronjob in scene.snapshot.of_kind("CronJob"):
        jobs = sorted(scene.snapshot.owned(cronjob, "Job"), key=lambda j: r.text(j, "metadata", "creationTimestamp"))
        if jobs and scene.covers(r.text(cronjob, "metadata", "namespace")):
            yield from _job(scene, jobs[-1])


def _job(scene: Scene, job: Object) -> Iterator[Hypothesis]:
    failed = r.condition(job, "Failed")
    if failed.get("status") != "True":
        return
    ref = ObjectRef.of(job, "Job")
    when = r.moment(failed, "lastTransitionTime")
    reason, message = r.text(failed, "reason"), r.text(failed, "message")
    if when is not None and not recent(when, scene.now, _LATELY):
        return
    top = bare(scene.snapshot.workload_of(job))
    pods = [p for p in scene.snapshot.pods_of(top) if scene.snapshot.controller(p) in (None, ref)] or list(
        scene.snapshot.pods_of(top)
    )
    containers = [c for p in pods for c in containers_of(p) if c.exit_code not in (0, None)]
    proof = [evidence("status", f"Job {ref.name} has failed", f"{reason}: {message}", obj=bare(ref), at=when)]
    proof += [of_event(e) for e in scene.snapshot.events(job, reason)[-1:]]
    facts: dict[str, Any] = {"reason": reason}
    if reason == "DeadlineExceeded":
        deadline = r.at(job, "spec", "activeDeadlineSeconds")
        facts["deadline_seconds"] = deadline
        words = f"Job {ref.name} was stopped after its deadline of {deadline} s." if deadline else message
        for container in containers[-1:]:
            proof += scene.log_evidence(container)
        yield Hypothesis("JobDeadlineExceeded", ref, 0.92, words, proof, facts, affected={top}, since=when)
        return
    words = f"Job {ref.name} has given up: {message or reason}."
    if containers:
        last = max(containers, key=lambda c: (c.finished_at is not None, c.finished_at or scene.now))
        lines = scene.log_evidence(last)
        proof += [status_evidence(last), *lines]
        facts |= {"exit_code": last.exit_code, "container": last.name, "error": lines[0].text[-300:] if lines else ""}
        words += f" Its container {last.name} ends with exit code {last.exit_code}."
    yield Hypothesis("JobFailed", ref, 0.86, words, proof, facts, affected={top}, since=when)
