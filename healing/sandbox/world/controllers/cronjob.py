"""CronJob: makes a Job at each time of its schedule and forgets old ones."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

from healing.sandbox.ports import ApiError, EventType, Object
from healing.sandbox.world.context import format_time, parse_time
from healing.sandbox.world.cron import Schedule
from healing.sandbox.world.owners import controller_of, owner_reference
from healing.sandbox.world.reconciler import Key, Reconciler, RetryLaterError, key_of

RESOURCE, JOBS = "cronjobs.batch", "jobs.batch"
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
#: a time missed by no more than this is still kept
_MOMENT_SECONDS = 0.05


class CronJobController(Reconciler):
    component = "cronjob-controller"

    def watch(self) -> None:
        self.on_own(RESOURCE)
        self.on(JOBS, self._job_changed)

    def _job_changed(self, _event: EventType, job: Object, _old: Object | None) -> None:
        owner = controller_of(job)
        if owner is not None and owner["kind"] == "CronJob":
            self.queue.add((job["metadata"]["namespace"], owner["name"]))

    def reconcile(self, key: Key) -> None:
        cron = self.cluster.get(RESOURCE, *key)
        if cron is None or cron["metadata"].get("deletionTimestamp"):
            return
        uid = cron["metadata"]["uid"]
        jobs = [j for j in self.cluster.list(JOBS, key[0]) if (owner := controller_of(j)) and owner["uid"] == uid]
        status: Object = dict(cron.get("status") or {})
        self._see_finished(cron, jobs, status)
        self._forget_old(cron, jobs)
        if not cron["spec"].get("suspend"):
            self._run_due(cron, key, jobs, status)
        if status != (cron.get("status") or {}):
            self.cluster.mutate(
                RESOURCE, *key, lambda body: body.update(status=status), user=self.user, subresource="status"
            )

    def _see_finished(self, cron: Object, jobs: list[Object], status: Object) -> None:
        known = {entry["name"] for entry in status.get("active") or ()}
        present = {job["metadata"]["name"]: job for job in jobs}
        for name in sorted(known):
            job = present.get(name)
            verdict = _verdict(job) if job is not None else ""
            if job is None:
                self._event(cron, "Normal", "MissingJob", f"Active job went missing: {name}")
            elif verdict:
                message = f"Saw completed job: {name}, condition: {verdict}"
                self._event(cron, "Normal", "SawCompletedJob", message)
                if verdict == "Complete":
                    status["lastSuccessfulTime"] = job["status"].get("completionTime") or self.context.timestamp()
        active = [_reference(job) for job in jobs if not _verdict(job)]
        status.pop("active", None)
        if active:
            status["active"] = active

    def _forget_old(self, cron: Object, jobs: list[Object]) -> None:
        spec = cron["spec"]
        limits = {
            "Complete": spec.get("successfulJobsHistoryLimit", 3), "Failed": spec.get("failedJobsHistoryLimit", 1),
        }  # fmt: skip
        for verdict, limit in limits.items():
            ended = sorted((job for job in jobs if _verdict(job) == verdict), key=_scheduled_at)
            for job in ended[: max(0, len(ended) - int(limit))]:
                self._delete(cron, job)

    def _run_due(self, cron: Object, key: Key, jobs: list[Object], status: Object) -> None:
        spec, now = cron["spec"], self.context.now()
        try:
            schedule = Schedule.parse(spec["schedule"])
        except ValueError as error:
            message = f"unparseable schedule: {spec['schedule']} : {error}"
            self._event(cron, "Warning", "UnparseableSchedule", message)
            return
        zone = spec.get("timeZone") or "UTC"
        due = self._newest_due(schedule, zone, cron, status, now)
        coming = schedule.next_after(now, zone)
        if coming is not None:
            self.queue.add_after(key, coming - now + _MOMENT_SECONDS)
        if due is None:
            return
        deadline = spec.get("startingDeadlineSeconds")
        if deadline is not None and now - due > float(deadline):
            shown = datetime.fromtimestamp(due, UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
            self._event(cron, "Warning", "MissSchedule", f"Missed scheduled time to start a job: {shown}")
            status["lastScheduleTime"] = format_time(due)
            return
        active = [job for job in jobs if not _verdict(job)]
        policy = spec.get("concurrencyPolicy", "Allow")
        if active and policy == "Forbid":
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._event(cron, "Normal", "JobAlreadyActive", message)
            return
        if policy == "Replace":
            for job in active:
                self._delete(cron, job)
            active = []
        made = self._create(cron, due)
        status["lastScheduleTime"] = format_time(due)
        status["active"] = [*map(_reference, active), _reference(made)]

    @staticmethod
    def _newest_due(schedule: Schedule, zone: str, cron: Object, status: Object, now: float) -> float | None:
        """Of the times since the last run only the newest is made up for."""
        last = parse_time(status.get("lastScheduleTime")) or parse_time(cron["metadata"]["creationTimestamp"])
        due: float | None = None
        at = schedule.next_after(max(last, now - 86400), zone)
        while at is not None and at <= now + _MOMENT_SECONDS:
            due, at = at, schedule.next_after(at, zone)
        return due

    def _create(self, cron: Object, due: float) -> Object:
        template, metadata = cron["spec"]["jobTemplate"], cron["metadata"]
        labels = (template.get("metadata") or {}).get("labels") or {}
        notes = (template.get("metadata") or {}).get("annotations") or {}
        body: Object = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": f"{metadata['name']}-{int(due) // 60}",
                "labels": dict(labels),
                "annotations": {**notes, SCHEDULED: format_time(due)},
                "ownerReferences": [owner_reference(cron, "batch/v1", "CronJob")],
            },
            "spec": copy.deepcopy(template["spec"]),
        }
        try:
            job = self.cluster.create(JOBS, metadata["namespace"], body, user=self.user)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                found = self.cluster.get(JOBS, metadata["namespace"], body["metadata"]["name"])
                if found is not None:
                    return found
            self._event(cron, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise RetryLaterError from error
        self._event(cron, "Normal", "SuccessfulCreate", f"Created job {job['metadata']['name']}")
        return job

    def _delete(self, cron: Object, job: Object) -> None:
        namespace, name = key_of(job)
        self.cluster.delete(JOBS, namespace, name, user=self.user, uid=job["metadata"]["uid"])
        self._event(cron, "Normal", "SuccessfulDelete", f"Deleted job {name}")

    def _event(self, cron: Object, type_: str, reason: str, message: str) -> None:
        self.cluster.record_event(
            cron, type="Warning" if type_ == "Warning" else "Normal", reason=reason, message=message,
            component=self.component,
        )  # fmt: skip


def _verdict(job: Object | None) -> str:
    """``Complete`` or ``Failed``, empty while it runs."""
    for entry in ((job or {}).get("status") or {}).get("conditions") or ():
        if entry["type"] in ("Complete", "Failed") and entry["status"] == "True":
            return str(entry["type"])
    return ""


def _scheduled_at(job: Object) -> str:
    return str((job.get("status") or {}).get("startTime") or job["metadata"]["creationTimestamp"])


def _reference(job: Object) -> Object:
    metadata = job["metadata"]
    return {
        "kind": "Job", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"],
        "apiVersion": "batch/v1", "resourceVersion": metadata["resourceVersion"],
    }  # fmt: skip
