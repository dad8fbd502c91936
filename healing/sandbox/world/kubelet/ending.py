"""How a pod ends on its node: hooks, SIGTERM, SIGKILL, and at last its object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healing.sandbox.ports import ApiError
from healing.sandbox.world.kubelet.container import Container
from healing.sandbox.world.reconciler import key_of

if TYPE_CHECKING:
    from healing.sandbox.world.kubelet.pod_worker import PodWorker

#: pause between two looks at containers that are told to stop
_POLL_SECONDS = 0.25


class Ending:
    """The stages "terminating" and "stopped" of one `PodWorker`."""

    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker

    def begin(self, now: float) -> None:
        """The object has a deletionTimestamp: preStop hooks run first."""
        worker = self._worker
        worker.stage = "terminating"
        pause = 0.0
        for container in worker.every():
            container.prepared = container.pull = None
            if container.running:
                self.announce(container)
            hook = (container.spec.get("lifecycle") or {}).get("preStop") or {}
            pause = max(pause, float((hook.get("sleep") or {}).get("seconds") or 0))
        worker.next_step_at = now + min(pause, worker.grace_seconds)

    def announce(self, container: Container) -> None:
        self._worker.event("Normal", "Killing", f"Stopping container {container.name}", field_path=container.field_path)

    def terminate(self, now: float) -> None:
        """Main containers first, then sidecars from the last to the first, all within the grace."""
        worker = self._worker
        if now < worker.next_step_at:
            worker.wake_at(worker.next_step_at)
            return
        for container in worker.every():
            if container.running:
                worker.runner.watch(container, now)
        running = [c for c in worker.main if c.running]
        for group in (running, [c for c in reversed(worker.init) if c.running][:1]):
            for container in group:
                worker.runner.stop(container, worker.grace_seconds, now)
            if group:
                worker.wake_at(now + _POLL_SECONDS)
                return
        worker.stage = "stopped"
        worker.node.give_address(worker)
        worker.next_step_at = now + worker.context.settings.cleanup_seconds

    def clean_up(self, now: float) -> None:
        worker = self._worker
        if now < worker.next_step_at:
            return
        if not worker.pod["metadata"].get("deletionTimestamp"):
            worker.next_step_at = 0.0  # evicted: the object stays until someone deletes it
            return
        worker.publish(now)
        cluster, (namespace, name) = worker.context.cluster, key_of(worker.pod)
        try:
            cluster.delete("pods", namespace, name, user=worker.node.user, grace_seconds=0, uid=worker.uid)
        except ApiError as error:
            if error.code != 404:
                raise
            worker.vanish()
