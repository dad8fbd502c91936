"""All kubelets of the cluster: hands them their pods and answers for their logs and usage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from healing.sandbox.ports import EventType, LogLine, Object, ProbeResult, Usage
from healing.sandbox.world import pods
from healing.sandbox.world.context import Context
from healing.sandbox.world.kubelet.container import Container
from healing.sandbox.world.kubelet.node_agent import NodeAgent
from healing.sandbox.world.kubelet.pod_worker import PodWorker
from healing.sandbox.world.nodes import NodeHandle, NodeSpec
from healing.sandbox.world.reconciler import key_of

#: how often a followed log is looked at
FOLLOW_SECONDS = 0.25


class Fleet:
    """Implements `healing.sandbox.ports.LogSource`."""

    def __init__(self, context: Context, nodes: Sequence[NodeSpec]) -> None:
        self._context = context
        self.agents: dict[str, NodeAgent] = {
            spec.name: NodeAgent(context, spec, number, self.forget) for number, spec in enumerate(nodes)
        }
        self._workers: dict[str, PodWorker] = {}
        #: ("configmaps" | "secrets", namespace, name) -> uids of pods that mount it
        self._mounted: dict[tuple[str, str, str], set[str]] = {}
        self._unsubscribe: list[Callable[[], None]] = []

    async def run(self) -> None:
        cluster = self._context.cluster
        self._unsubscribe.append(cluster.subscribe("pods", self._pod_changed))
        for resource in ("configmaps", "secrets"):
            self._unsubscribe.append(cluster.subscribe(resource, self._source_listener(resource)))
        for pod in cluster.list("pods"):
            self._pod_changed("ADDED", pod, None)
        try:
            async with asyncio.TaskGroup() as group:
                for agent in self.agents.values():
                    group.create_task(agent.run(), name=f"kubelet {agent.name}")
        finally:
            for stop in self._unsubscribe:
                stop()
            for worker in self._workers.values():
                worker.close()

    def node(self, name: str) -> NodeHandle:
        """Raises KeyError for a node that this world does not have."""
        agent = self.agents[name]
        return NodeHandle(name, agent.fail, agent.recover, lambda: frozenset(agent.failures))

    def reports(self, name: str) -> bool:
        """Whether this node's kubelet works and can see its containers."""
        return self.agents[name].is_up and self.agents[name].has_runtime

    # --- pods and what they mount

    def _pod_changed(self, event: EventType, pod: Object, _old: Object | None) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if event == "DELETED":
            if worker is not None:
                self._drop(worker)
            return
        if worker is not None:
            worker.changed(pod)
            return
        agent = self.agents.get(pod["spec"].get("nodeName") or "")
        if pods.MIRROR in (pod["metadata"].get("annotations") or {}):
            return  # a static pod, which has its own keeper
        if agent is None or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return
        worker = PodWorker(agent, pod)
        self._workers[uid] = agent.workers[uid] = worker
        namespace = pod["metadata"]["namespace"]
        for resource, name in worker.references:
            self._mounted.setdefault((resource, namespace, name), set()).add(uid)
        worker.wake()

    def _drop(self, worker: PodWorker) -> None:
        if not worker.node.is_up and worker.node.runs_processes:
            # Nobody tells the containers: they run on until the kubelet is back and finds the pod gone.
            return
        worker.vanish()
        self.forget(worker)

    def forget(self, worker: PodWorker) -> None:
        self._workers.pop(worker.uid, None)
        worker.node.workers.pop(worker.uid, None)
        namespace, _ = key_of(worker.pod)
        for resource, name in worker.references:
            users = self._mounted.get((resource, namespace, name))
            if users is not None:
                users.discard(worker.uid)
                if not users:
                    del self._mounted[resource, namespace, name]

    def _source_listener(self, resource: str) -> Callable[[EventType, Object, Object | None], None]:
        def changed(_event: EventType, item: Object, _old: Object | None) -> None:
            namespace, name = key_of(item)
            for uid in self._mounted.get((resource, namespace, name), ()):
                self._workers[uid].source_changed()

        return changed

    # --- LogSource

    def logs(self, pod_uid: str, container: str, *, previous: bool = False) -> Sequence[LogLine] | None:
        """Lines of the container's present (or previous) process; None if there never was one."""
        found = self._container(pod_uid, container)
        if found is None:
            return None
        process = found.process
        if previous:
            # A container that waits to be restarted has its last process as the previous one, too.
            process = found.process if found.state != "running" and found.last_terminated else found.previous_process
            if found.state == "terminated":
                process = found.previous_process
        return process.logs() if process is not None else None

    def usage(self, pod_uid: str) -> Mapping[str, Usage]:
        worker = self._workers.get(pod_uid)
        if worker is None:
            return {}
        return {c.name: c.process.usage() for c in worker.every() if c.running and c.process is not None}

    def execute(self, pod_uid: str, container: str, command: list[str]) -> ProbeResult | None:
        found = self._container(pod_uid, container)
        if found is None or not found.running or found.process is None:
            return None
        return found.process.exec(command)

    async def follow(self, pod_uid: str, container: str) -> AsyncIterator[LogLine]:
        """Lines from now on, until the container's process ends."""
        found = self._container(pod_uid, container)
        process = found.process if found is not None else None
        if found is None or process is None:
            return
        lines = process.logs()
        last = lines[-1] if lines else None
        while True:
            over = found.process is not process or not found.running
            lines = process.logs()
            fresh: list[LogLine] = []
            for line in reversed(lines):
                if line is last:
                    break
                fresh.append(line)
            for line in reversed(fresh):
                yield line
                last = line
            if over:
                return
            await asyncio.sleep(FOLLOW_SECONDS)

    def _container(self, pod_uid: str, container: str) -> Container | None:
        worker = self._workers.get(pod_uid)
        return worker.container(container) if worker is not None else None
