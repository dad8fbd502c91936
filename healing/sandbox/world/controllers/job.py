"""Job: runs pods until enough of them have succeeded, or too many have failed."""

from __future__ import annotations

from dataclasses import dataclass, field

from healing.sandbox.ports import ApiError, EventType, Object
from healing.sandbox.world import conditions, pods
from healing.sandbox.world.context import parse_time
from healing.sandbox.world.controllers import pod_failure_policy
from healing.sandbox.world.owners import claim, controller_of, owner_reference
from healing.sandbox.world.reconciler import Key, Reconciler, RetryLaterError

RESOURCE = "jobs.batch"
TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FIRST_BACK_OFF_SECONDS, MAX_BACK_OFF_SECONDS = 10.0, 600.0
#: the real controller gathers pod updates for a second
BATCH_SECONDS = 1.0


@dataclass(slots=True)
class _Count:
    """The Job's pods: ``finished`` ones still carry the finalizer and are not yet in the status' counters."""

    active: list[Object] = field(default_factory=list)
    terminating: int = 0
    succeeded: list[Object] = field(default_factory=list)
    failed: list[Object] = field(default_factory=list)
    #: failed, but the podFailurePolicy says that it does not count
    ignored: list[Object] = field(default_factory=list)
    last_failure_at: float = 0.0


class JobController(Reconciler):
    component = "job-controller"

    def watch(self) -> None:
        self.on_own(RESOURCE)
        self.on("pods", self._pod_changed)

    def _pod_changed(self, _event: EventType, pod: Object, _old: Object | None) -> None:
        owner = controller_of(pod)
        if owner is not None and owner["kind"] == "Job":
            self.queue.add_after((pod["metadata"]["namespace"], owner["name"]), BATCH_SECONDS)

    def reconcile(self, key: Key) -> None:
        job = self.cluster.get(RESOURCE, *key)
        if job is None or job["metadata"].get("deletionTimestamp"):
            return
        if _is_finished(job):
            self._expire(job, key)
            return
        owned = claim(
            self.context, job, api_version="batch/v1", kind="Job", resource="pods",
            candidates=self.cluster.list("pods", key[0]), user=self.user,
        )  # fmt: skip
        count = self._count(job, owned)
        status = dict(job.get("status") or {})
        suspended = bool(job["spec"].get("suspend"))
        if not suspended:
            status.setdefault("startTime", self.context.timestamp())
        verdict = self._failure(job, status, count)
        success = not verdict and self._succeeded(job, status, count)
        if verdict or success or suspended:
            self._stop(count.active)
            count.terminating += len(count.active)
            count.active = []
        elif not suspended:
            self._create_missing(job, key, status, count)
        self._write(job, key, status, count, verdict, success=success)

    @staticmethod
    def _count(job: Object, owned: list[Object]) -> _Count:
        count = _Count()
        for pod in owned:
            tracked = TRACKING_FINALIZER in (pod["metadata"].get("finalizers") or ())
            if pods.phase(pod) == "Succeeded":
                count.succeeded += [pod] if tracked else []
            elif pods.phase(pod) == "Failed" or (
                pod["metadata"].get("deletionTimestamp") and not pods.is_terminating(pod)
            ):
                if pod_failure_policy.match(job, pod)[0] == "Ignore":
                    count.ignored += [pod] if tracked else []
                    continue
                count.failed += [pod] if tracked else []
                count.last_failure_at = max(count.last_failure_at, _finished_at(pod))
            elif pods.is_terminating(pod):
                count.terminating += 1
            else:
                count.active.append(pod)
        return count

    def _failure(self, job: Object, status: Object, count: _Count) -> tuple[str, str] | None:
        spec = job["spec"]
        known = conditions.find(list(status.get("conditions") or ()), "FailureTarget")
        if known is not None:
            return known["reason"], known["message"]
        for pod in count.failed:
            action, message = pod_failure_policy.match(job, pod)
            if action == "FailJob":
                return "PodFailurePolicy", message
        failures = int(status.get("failed", 0)) + len(count.failed)
        if spec["template"]["spec"].get("restartPolicy") == "OnFailure":
            failures += sum(
                s.get("restartCount", 0) for p in count.active for s in p["status"].get("containerStatuses") or ()
            )
        limit = spec.get("backoffLimit", 6)
        if failures > limit:
            return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and status.get("startTime"):
            left = parse_time(status["startTime"]) + deadline - self.context.now()
            if left <= 0:
                return "DeadlineExceeded", "Job was active longer than specified deadline"
            self.queue.add_after((job["metadata"]["namespace"], job["metadata"]["name"]), left + 0.1)
        return None

    @staticmethod
    def _succeeded(job: Object, status: Object, count: _Count) -> bool:
        done = int(status.get("succeeded", 0)) + len(count.succeeded)
        wanted = job["spec"].get("completions")
        if wanted is None:
            return done > 0 and not count.active
        return bool(done >= wanted)

    def _create_missing(self, job: Object, key: Key, status: Object, count: _Count) -> None:
        spec = job["spec"]
        done = int(status.get("succeeded", 0)) + len(count.succeeded)
        parallelism, completions = spec.get("parallelism", 1), spec.get("completions")
        wanted = min(parallelism, completions - done) if completions is not None else (parallelism if not done else 0)
        surplus = len(count.active) - max(wanted, 0)
        if surplus > 0:
            self._stop(count.active[-surplus:])
            return
        missing = wanted - len(count.active) - count.terminating
        if missing <= 0:
            return
        wait = self._back_off_left(status, count)
        if wait > 0:
            self.queue.add_after(key, wait)
            return
        for number in range(missing):
            pod = self._create(job, key, self._free_index(job, status, count, number))
            count.active.append(pod)

    def _back_off_left(self, status: Object, count: _Count) -> float:
        """10, 20, 40 ... seconds after the newest failure."""
        failures = int(status.get("failed", 0)) + len(count.failed)
        if not failures:
            return 0.0
        pause = min(FIRST_BACK_OFF_SECONDS * 2 ** (failures - 1), MAX_BACK_OFF_SECONDS)
        return float(count.last_failure_at + pause - self.context.now())

    def _free_index(self, job: Object, status: Object, count: _Count, number: int) -> int | None:
        if job["spec"].get("completionMode") != "Indexed":
            return None
        taken = _parse_indexes(status.get("completedIndexes", ""))
        for pod in [*count.active, *count.succeeded]:
            index = (pod["metadata"].get("annotations") or {}).get(INDEX)
            if index is not None:
                taken.add(int(index))
        free = [i for i in range(job["spec"].get("completions") or 0) if i not in taken]
        return free[0] if free else number

    def _create(self, job: Object, key: Key, index: int | None) -> Object:
        name = job["metadata"]["name"]
        prefix = f"{name}-{index}-" if index is not None else f"{name}-"
        body = pods.from_template(
            job["spec"]["template"], generate_name=prefix, owner=owner_reference(job, "batch/v1", "Job")
        )
        metadata = body["metadata"]
        metadata["finalizers"] = [*(metadata.get("finalizers") or ()), TRACKING_FINALIZER]
        if index is not None:
            metadata.setdefault("annotations", {})[INDEX] = str(index)
            metadata.setdefault("labels", {})[INDEX] = str(index)
            for container in body["spec"]["containers"]:
                container["env"] = [
                    *(container.get("env") or ()), {"name": "JOB_COMPLETION_INDEX", "value": str(index)}
                ]  # fmt: skip
        try:
            pod = self.cluster.create("pods", key[0], body, user=self.user)
        except ApiError as error:
            self._event(job, "Warning", "FailedCreate", f"Error creating: {error}")
            raise RetryLaterError from error
        self._event(job, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return pod

    def _stop(self, victims: list[Object]) -> None:
        for pod in victims:
            metadata = pod["metadata"]
            self._untrack(pod)
            self.cluster.delete("pods", metadata["namespace"], metadata["name"], user=self.user, uid=metadata["uid"])

    def _write(
        self, job: Object, key: Key, status: Object, count: _Count, verdict: tuple[str, str] | None, *, success: bool
    ) -> None:
        """First what ended, by uid; then the finalizers go; then the counters rise. Nothing is counted twice."""
        status.pop("active", None)
        if count.active:
            status["active"] = len(count.active)
        status["terminating"] = count.terminating
        status["ready"] = sum(pods.is_ready(pod) for pod in count.active)
        uncounted = {
            field: [pod["metadata"]["uid"] for pod in ended]
            for field, ended in (("succeeded", count.succeeded), ("failed", count.failed))
            if ended
        }
        status["uncountedTerminatedPods"] = uncounted
        goal: tuple[str, str, str] | None = None
        if verdict:
            goal = ("FailureTarget", *verdict)
        elif success:
            goal = ("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
        if goal is not None:
            self._set(status, *goal)
        self._set_suspended(job, status)
        self._put(job, key, status)
        if not uncounted and goal is None and not count.ignored:
            return
        for pod in (*count.succeeded, *count.failed, *count.ignored):
            self._untrack(pod)
        final = {**status, "uncountedTerminatedPods": {}}
        for name, ended in (("succeeded", count.succeeded), ("failed", count.failed)):
            if ended:
                final[name] = int(status.get(name, 0)) + len(ended)
        if job["spec"].get("completionMode") == "Indexed":
            done = _parse_indexes(final.get("completedIndexes", ""))
            done |= {int(p["metadata"]["annotations"][INDEX]) for p in count.succeeded}
            final["completedIndexes"] = ",".join(str(index) for index in sorted(done))
        waits = count.terminating and self.cluster.has("Jobs end after their pods")
        if goal is not None and not waits:
            self._finish(job, final, verdict)
        elif goal is not None:
            self.queue.add_after(key, BATCH_SECONDS)
        self._put(job, key, final)
        self.queue.add(key)

    def _finish(self, job: Object, status: Object, verdict: tuple[str, str] | None) -> None:
        if verdict:
            self._set(status, "Failed", *verdict)
            self._event(job, "Warning", *verdict)
            return
        self._set(status, "Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        status["completionTime"] = self.context.timestamp()
        self._event(job, "Normal", "Completed", "Job completed")

    def _set(self, status: Object, type_: str, reason: str, message: str, value: str = "True") -> None:
        entries = list(status.get("conditions") or ())
        current = conditions.find(entries, type_)
        if current is not None and current["status"] == value:
            return
        stamp = self.context.timestamp()
        entry = {
            "type": type_, "status": value, "lastProbeTime": stamp, "lastTransitionTime": stamp, "reason": reason,
            "message": message,
        }  # fmt: skip
        status["conditions"] = [*conditions.without(entries, type_), entry]

    def _set_suspended(self, job: Object, status: Object) -> None:
        known = conditions.find(list(status.get("conditions") or ()), "Suspended")
        if job["spec"].get("suspend"):
            status.pop("startTime", None)
            if known is None or known["status"] != "True":
                self._set(status, "Suspended", "JobSuspended", "Job suspended")
                self._event(job, "Normal", "Suspended", "Job suspended")
        elif known is not None and known["status"] == "True":
            self._set(status, "Suspended", "JobResumed", "Job resumed", "False")
            self._event(job, "Normal", "Resumed", "Job resumed")

    def _put(self, job: Object, key: Key, status: Object) -> None:
        if status == (self.cluster.get(RESOURCE, *key) or {}).get("status"):
            return
        wanted = dict(status)
        self.cluster.mutate(
            RESOURCE, *key, lambda body: body.update(status=wanted), user=self.user, subresource="status"
        )

    def _untrack(self, pod: Object) -> None:
        def change(body: Object) -> None:
            left = [f for f in body["metadata"].get("finalizers") or () if f != TRACKING_FINALIZER]
            if left:
                body["metadata"]["finalizers"] = left
            else:
                body["metadata"].pop("finalizers", None)

        metadata = pod["metadata"]
        try:
            self.cluster.mutate("pods", metadata["namespace"], metadata["name"], change, user=self.user)
        except ApiError as error:
            if error.code != 404:
                raise

    def _expire(self, job: Object, key: Key) -> None:
        """Delete a finished Job ``ttlSecondsAfterFinished`` later."""
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return
        ended = max(parse_time(c["lastTransitionTime"]) for c in job["status"]["conditions"])
        left = ended + seconds - self.context.now()
        if left > 0:
            self.queue.add_after(key, left + 0.1)
        else:
            self.cluster.delete(RESOURCE, *key, user=self.user, propagation="Foreground", uid=job["metadata"]["uid"])

    def _event(self, job: Object, type_: str, reason: str, message: str) -> None:
        self.cluster.record_event(
            job, type="Warning" if type_ == "Warning" else "Normal", reason=reason, message=message,
            component=self.component,
        )  # fmt: skip


def _is_finished(job: Object) -> bool:
    return any(
        c["type"] in ("Complete", "Failed") and c["status"] == "True"
        for c in (job.get("status") or {}).get("conditions") or ()
    )


def _finished_at(pod: Object) -> float:
    return max(
        (
            parse_time((s.get("state") or {}).get("terminated", {}).get("finishedAt"))
            for s in pod["status"].get("containerStatuses") or ()
        ),
        default=0.0,
    )


def _parse_indexes(text: str) -> set[int]:
    """``0,2-4`` as Jobs write it."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first:
            found |= set(range(int(first), int(last or first) + 1))
    return found
