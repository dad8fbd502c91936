"""One pod on its node: volumes, sandbox, containers in their order, termination, and the status it reports."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from healing.sandbox.ports import ApiError, Object, Usage
from healing.sandbox.world.kubelet import mounts, status
from healing.sandbox.world.kubelet.container import Container
from healing.sandbox.world.kubelet.ending import Ending
from healing.sandbox.world.kubelet.mounts import MountError
from healing.sandbox.world.kubelet.runner import Runner, lost_exit
from healing.sandbox.world.reconciler import key_of
from healing.sandbox.world.storage import attach_problem

if TYPE_CHECKING:
    from healing.sandbox.world.kubelet.node_agent import NodeAgent

log = logging.getLogger(__name__)

#: mount retries wait 0.5, 1, 2 ... seconds, at most so long
MAX_MOUNT_RETRY_SECONDS = 122.0
#: pods of system-cluster-critical and above are not evicted
SYSTEM_PRIORITY = 2_000_000_000
Stage = Literal["mounting", "sandbox", "running", "terminating", "stopped", "gone"]


class PodWorker:
    """A state machine that is woken when something is due; `sync` does what is due and publishes what changed."""

    def __init__(self, node: NodeAgent, pod: Object) -> None:
        self.node = node
        self.context = node.context
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        settings = self.context.settings
        inits = pod["spec"].get("initContainers") or ()
        self.init = [Container.of(c, is_init=True, waits=True, settings=settings) for c in inits]
        self.main = [
            Container.of(c, is_init=False, waits=bool(inits), settings=settings) for c in pod["spec"]["containers"]
        ]
        self.volumes: dict[str, dict[str, str]] = {}
        self.references = mounts.references(pod)
        self.pod_ip = ""
        self.address_returned = False
        self.runner = Runner(self)
        self._ending = Ending(self)
        self.stage: Stage = "mounting"
        self._seen_at = self.context.now()
        self._mount_retry_seconds = 0.5
        self.next_step_at = 0.0
        self._shows_ip = False
        self._verdict: tuple[str, str, str] | None = None
        #: what the last published status was made of
        self._published: tuple[object, ...] = ()
        self._refresh_at: float | None = None
        self._finish_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at: float | None = None

    # --- being woken

    def wake_at(self, when: float) -> None:
        """Ask for a `sync` at ``when`` (by the world's clock); the earliest wish counts."""
        if self._wake_at is None or when < self._wake_at:
            self._wake_at = when

    def wake(self) -> None:
        """`sync` in a moment."""
        self._arm(self.context.now() + 0.001)

    def changed(self, pod: Object) -> None:
        """The API has a new version of the pod."""
        old, self.pod = self.pod, pod
        if pod["metadata"].get("deletionTimestamp") and not old["metadata"].get("deletionTimestamp"):
            self.wake()
        elif pod["spec"] is not old["spec"] and pod["spec"] != old["spec"]:
            specs = {c["name"]: c for c in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]}
            for container in self.every():
                container.spec = specs.get(container.name, container.spec)
            self.wake()
        elif pod["metadata"].get("generation") != old["metadata"].get("generation"):
            self.wake()

    def every(self) -> Iterator[Container]:
        yield from self.init
        yield from self.main

    def container(self, name: str) -> Container | None:
        return next((c for c in self.every() if c.name == name), None)

    @property
    def grace_seconds(self) -> float:
        """What the pod's processes get between SIGTERM and SIGKILL."""
        wanted = self.pod["metadata"].get("deletionGracePeriodSeconds")
        if wanted is None:
            wanted = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        return float(wanted)

    def _arm(self, when: float) -> None:
        if self.stage == "gone":
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, when - self.context.now())
        if self._timer is not None:
            if self._timer.when() <= due and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = loop.call_at(due, self._run)

    def _run(self) -> None:
        self._timer = None
        try:
            self.sync(self.context.now())
        except ApiError as error:
            log.debug("kubelet %s, pod %s: %s", self.node.name, self.pod["metadata"]["name"], error)
            self.wake_at(self.context.now() + 1)
        except Exception:
            log.exception("kubelet %s failed on pod %s", self.node.name, self.pod["metadata"]["name"])
            self.wake_at(self.context.now() + self.context.settings.resync_seconds)
        if self._wake_at is not None:
            self._arm(self._wake_at)

    # --- the state machine

    def sync(self, now: float) -> None:
        self._wake_at = None
        if not self.node.is_up or not self.node.has_runtime:
            self._coast(now)
            return
        if self.pod["metadata"].get("deletionTimestamp") and self.stage in ("mounting", "sandbox", "running"):
            self._ending.begin(now)
        if self.stage in ("mounting", "sandbox", "running"):
            self._check_deadline(now)
        if self.stage == "mounting" and now >= self.next_step_at:
            self._mount(now)
        if self.stage == "sandbox" and now >= self.next_step_at:
            self.pod_ip = self.node.take_address(self)
            self.stage = "running"
            self.publish(now)
        if self.stage == "running":
            self._sync_containers(now)
        elif self.stage == "terminating":
            self._ending.terminate(now)
        elif self.stage == "stopped":
            self._ending.clean_up(now)
        if self.stage != "gone":
            self.publish(now)
            if self.next_step_at > now:
                self.wake_at(self.next_step_at)

    def _coast(self, now: float) -> None:
        """The kubelet does not run, or without a runtime: the containers go on, nobody looks after them."""
        for container in self.every() if self.node.runs_processes else ():
            if container.running and container.process is not None:
                container.process.poll(now)
        self.wake_at(now + self.context.settings.relist_seconds)

    def _mount(self, now: float) -> None:
        problem = attach_problem(self.context.cluster, self.pod)
        if problem:
            self.context.cluster.record_event(
                self.pod, type="Warning", reason="FailedAttachVolume", message=problem,
                component="attachdetach-controller",
            )  # fmt: skip
            self._mount_later(now)
            return
        try:
            self.volumes = mounts.volume_files(self.context.cluster, self.pod, pod_ip=self.pod_ip, host_ip=self.node.ip)
        except MountError as error:
            self.event("Warning", "FailedMount", str(error))
            self._mount_later(now)
            return
        self.stage = "sandbox"
        self.next_step_at = now + self.context.settings.sandbox_start_seconds

    def _mount_later(self, now: float) -> None:
        self.next_step_at = now + self._mount_retry_seconds
        self._mount_retry_seconds = min(self._mount_retry_seconds * 2, MAX_MOUNT_RETRY_SECONDS)

    def _sync_containers(self, now: float) -> None:
        if self._refresh_at is not None:
            if now >= self._refresh_at:
                self._refresh_files()
            else:
                self.wake_at(self._refresh_at)
        for container in self.every():
            if container.next_waiting is not None and now >= container.show_waiting_at:
                container.wait(*container.next_waiting)
                container.next_waiting = None
            if container.running and self.runner.watch(container, now) and not container.killed_by_probe:
                self.publish(now)
        policy = self.pod["spec"].get("restartPolicy", "Always")
        if self._initialize(policy, now):
            self._run_main(policy, now)
        # The status of a pod has its address once the kubelet has tried a container.
        self._shows_ip = self._shows_ip or any(
            c.ever_started or c.waiting_reason not in ("ContainerCreating", "PodInitializing") for c in self.every()
        )

    def _run_main(self, policy: str, now: float) -> None:
        for container in self.main:
            if container.running:
                continue
            if container.state == "terminated" and not _restarts(container, policy):
                continue
            self.runner.advance(container, now)
        if self.main and all(c.state == "terminated" and not _restarts(c, policy) for c in self.main):
            for sidecar in self.init:
                if sidecar.running:
                    self.runner.stop(sidecar, self.grace_seconds, now)
            if self._finish_at is None:
                self._finish_at = now + self.context.settings.relist_seconds
            if now < self._finish_at:  # each time, for every look forgets when the next was due
                self.wake_at(self._finish_at)
            elif not any(c.running for c in self.init):
                self.node.give_address(self)

    def _initialize(self, policy: str, now: float) -> bool:
        """Run init containers one after the other; true when the main containers may run."""
        main_ran = any(c.ever_started for c in self.main)
        for container in self.init:
            if container.is_sidecar:
                if not container.running:
                    self.runner.advance(container, now)
                if not container.started and not main_ran:
                    return False
                continue
            if container.succeeded or main_ran:
                continue
            if container.running or (container.state == "terminated" and policy == "Never"):
                return False
            self.runner.advance(container, now)
            return False
        return True

    # --- the end

    def evict(self, reason: str, message: str, now: float, *, grace_seconds: float = 0.0) -> None:
        """The kubelet itself ends the pod for want of a resource: it stays as Failed with this reason."""
        self.end("Warning", reason, message, now, grace_seconds=grace_seconds)

    def end(self, type_: str, reason: str, message: str, now: float, *, grace_seconds: float) -> None:
        """Stop all containers and leave the pod as Failed, with an event of this type."""
        if self.stage in ("terminating", "stopped", "gone"):
            return
        self._verdict = ("Failed", reason, message)
        self.event(type_, reason, message)
        self.stage = "terminating"
        for container in self.every():
            if container.running:
                self._ending.announce(container)
            self.runner.stop(container, grace_seconds, now)
        self.wake()

    def _check_deadline(self, now: float) -> None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            return
        due = self._seen_at + float(seconds)
        if now < due:
            self.wake_at(due)
            return
        message = "Pod was active on the node longer than the specified deadline"
        self.end("Normal", "DeadlineExceeded", message, now, grace_seconds=self.grace_seconds)

    @property
    def may_be_evicted(self) -> bool:
        critical = int(self.pod["spec"].get("priority") or 0) >= SYSTEM_PRIORITY
        return self.stage == "running" and not critical and any(c.running for c in self.every())

    def memory_bytes(self, container: str = "") -> int:
        """What its containers (or the one named) use now."""
        return sum(usage.memory_bytes for name, usage in self.usage().items() if container in ("", name))

    def ephemeral_bytes(self, container: str = "") -> int:
        """What its containers (or the one named) have written to the node's disk."""
        return sum(usage.ephemeral_bytes for name, usage in self.usage().items() if container in ("", name))

    def usage(self) -> dict[str, Usage]:
        return {c.name: c.process.usage() for c in self.every() if c.running and c.process is not None}

    def vanish(self) -> None:
        """The object is gone from the API: whatever still runs is killed."""
        now = self.context.now()
        for container in self.every():
            if container.running and container.process is not None:
                if self.stage in ("mounting", "sandbox", "running") and self.node.is_up:
                    message = f"Stopping container {container.name}"
                    self.event("Normal", "Killing", message, field_path=container.field_path)
                container.process.kill(now)
                container.state = "terminated"
        self.node.give_address(self)
        self.close()

    def close(self) -> None:
        """Do nothing more."""
        self.stage = "gone"
        if self._timer is not None:
            self._timer.cancel()

    def lose_processes(self, now: float) -> None:
        """The machine went down: nothing of the pod runs any more, and nobody is there to say so."""
        for container in self.every():
            if container.running and container.process is not None:
                container.process.kill(now)
                container.end(lost_exit(), now)

    def forget_probes(self, now: float) -> None:
        """The kubelet was restarted: containers count as not ready until they are probed again."""
        for container in self.every():
            if container.running:
                for prober in container.probers:
                    if prober.kind != "startup" or not container.started:
                        prober.begin(now)
                if any(p.kind == "readiness" for p in container.probers):
                    container.ready = False
        self.wake()

    # --- files, status, events

    def source_changed(self) -> None:
        """A mounted ConfigMap or Secret changed; its files follow with the volumes' next refresh."""
        if self.stage != "running":
            return
        when = self.context.now() + self.context.settings.volume_refresh_seconds
        if self._refresh_at is None:
            self._refresh_at = when
            self._arm(when)

    def _refresh_files(self) -> None:
        self._refresh_at = None
        try:
            self.volumes = mounts.volume_files(self.context.cluster, self.pod, pod_ip=self.pod_ip, host_ip=self.node.ip)
        except MountError as error:
            self.event("Warning", "FailedMount", str(error))
            return
        for container in self.every():
            fresh = mounts.refreshed(container.spec, container.files, self.volumes)
            # The process holds this very dict: it sees the files change under it.
            container.files.clear()
            container.files.update(fresh)

    def publish(self, now: float) -> None:
        if any(c.killed_by_probe and c.state == "terminated" for c in self.every()):
            return
        version = self.pod["metadata"]["resourceVersion"]
        view = (version, self.stage, self._shows_ip, self.address_returned, *(c.view() for c in self.every()))
        if view == self._published:
            return
        self._published = view
        has_sandbox = bool(self.pod_ip) and not self.address_returned
        facts = status.PodFacts(
            init=self.init,
            main=self.main,
            host_ip=self.node.ip,
            pod_ip=self.pod_ip if self._shows_ip else "",
            started_at=self._seen_at,
            has_sandbox=has_sandbox,
            is_over=self.stage == "stopped",
            verdict=self._verdict,
        )
        wanted = status.build(self.pod, facts, now)
        if wanted == self.pod.get("status"):
            return

        def change(body: Object) -> None:
            body["status"] = wanted

        namespace, name = key_of(self.pod)
        try:
            self.pod = self.context.cluster.mutate(
                "pods", namespace, name, change, user=self.node.user, subresource="status"
            )
        except ApiError as error:
            if error.code != 404:
                raise

    def event(self, type_: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.context.cluster.record_event(
            self.pod,
            type="Warning" if type_ == "Warning" else "Normal",
            reason=reason,
            message=message,
            component="kubelet",
            host=self.node.name,
            field_path=field_path,
        )


def _restarts(container: Container, policy: str) -> bool:
    return policy == "Always" or (policy == "OnFailure" and not container.succeeded)
