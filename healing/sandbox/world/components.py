"""The control plane's own processes, as a kubeadm cluster shows them: static pods in kube-system, and their Leases.

They can be stopped and started from outside. A stopped one does nothing any more; its pod crash-loops, and its Lease
is renewed by nobody. The pods are written as mirrors of static pods are, without a process behind them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from healing.sandbox.ports import ApiError, Controller, Object
from healing.sandbox.world import pods
from healing.sandbox.world.context import Context, format_micro_time, format_time, node_user
from healing.sandbox.world.kubelet.backoff import BackOff

NAMESPACE = "kube-system"
#: that can be stopped
COMPONENTS = ("scheduler", "controller-manager", "kube-proxy")
LEASE_SECONDS = 15
_RENEW_SECONDS = 5.0
#: how often to look whether all kubelets have registered
_REGISTRATION_SECONDS = 0.1
_LEASES = {"scheduler": "kube-scheduler", "controller-manager": "kube-controller-manager"}
_NAMES = {**_LEASES, "kube-proxy": "kube-proxy", "apiserver": "kube-apiserver", "etcd": "etcd"}
_IMAGES = {"etcd": "registry.k8s.io/etcd:3.6.6-0"}
#: how long a component that cannot run takes to give up
_DIES_AFTER_SECONDS = 1.0


class Supervised:
    """Runs controllers until it is told to stop; each start makes new ones, as a new process would."""

    def __init__(self, make: Callable[[], Sequence[Controller]]) -> None:
        self._make = make
        self._runs = asyncio.Event()
        self._runs.set()
        self._stopped = asyncio.Event()

    @property
    def running(self) -> bool:
        return self._runs.is_set()

    def stop(self) -> None:
        self._runs.clear()
        self._stopped.set()

    def start(self) -> None:
        self._stopped.clear()
        self._runs.set()

    async def run(self) -> None:
        while True:
            await self._runs.wait()
            tasks = [asyncio.create_task(part.run(), name=type(part).__name__) for part in self._make()]
            stop = asyncio.create_task(self._stopped.wait())
            try:
                done, _ = await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
                for task in done - {stop}:
                    task.result()
            finally:
                for task in (*tasks, stop):
                    task.cancel()
                await asyncio.gather(*tasks, stop, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class ComponentHandle:
    """A part of the control plane as whoever runs the machines sees it."""

    name: str
    _switch: Supervised
    #: told of each stop and start, with whether it runs now
    _changed: Callable[[bool], None]

    @property
    def running(self) -> bool:
        return self._switch.running

    def stop(self) -> None:
        if self.running:
            self._switch.stop()
            self._changed(False)

    def start(self) -> None:
        if not self.running:
            self._switch.start()
            self._changed(True)


@dataclass(slots=True)
class _StaticPod:
    component: str
    node: str
    is_up: bool = True
    restarts: int = 0
    started_at: float = 0.0
    finished_at: float = 0.0
    retry_at: float = 0.0
    back_off: BackOff = field(default_factory=lambda: BackOff(10.0, 300.0))

    @property
    def container(self) -> str:
        return _NAMES[self.component]

    @property
    def name(self) -> str:
        return f"{self.container}-{self.node}"


class SystemPods:
    """Keeps the mirror pods and Leases. ``runs(component, node)``: whether that process lives."""

    def __init__(
        self,
        context: Context,
        nodes: Sequence[tuple[str, str]],
        runs: Callable[[str, str], bool],
        reports: Callable[[str], bool],
    ) -> None:
        """``nodes``: (name, address); the first one carries the control plane. ``reports(node)``: its kubelet works."""
        self._context = context
        self._reports = reports
        self._addresses = dict(nodes)
        self._runs = runs
        first = nodes[0][0] if nodes else ""
        self._pods = [_StaticPod(c, first) for c in ("apiserver", "etcd", "controller-manager", "scheduler") if first]
        self._pods += [_StaticPod("kube-proxy", name) for name, _ in nodes]
        self._wakes = asyncio.Event()

    def _nodes_are_there(self) -> bool:
        return all(self._context.cluster.get("nodes", None, name) for name in self._addresses)

    def changed(self) -> None:
        self._wakes.set()

    async def run(self) -> None:
        while not self._nodes_are_there():  # noqa: ASYNC110 -- once, for a moment, when a world comes up
            await asyncio.sleep(_REGISTRATION_SECONDS)
        now = self._context.now()
        for pod in self._pods:
            pod.started_at = now
            self._create(pod)
            self._write(pod, now)
        while True:
            now = self._context.now()
            for name, lease in _LEASES.items():
                if self._runs(name, ""):
                    self._renew(lease, now)
            for pod in self._pods:
                self._step(pod, now)
            self._wakes.clear()
            try:
                await asyncio.wait_for(self._wakes.wait(), _RENEW_SECONDS)
            except TimeoutError:
                continue

    def _step(self, pod: _StaticPod, now: float) -> None:
        if not self._reports(pod.node):
            return
        runs = self._runs(pod.component, pod.node)
        if pod.is_up and not runs:
            pod.is_up, pod.finished_at, pod.retry_at = False, now, now
        elif not pod.is_up and runs and now >= pod.retry_at:
            pod.is_up, pod.started_at, pod.restarts = True, now, pod.restarts + 1
        elif not pod.is_up and now >= pod.retry_at:
            # It is started once more, and ends once more.
            pod.back_off.next(now)
            pod.restarts += 1
            pod.started_at, pod.finished_at = now, now + _DIES_AFTER_SECONDS
            pod.retry_at = pod.finished_at + pod.back_off.seconds
            self._event(
                pod,
                "Warning",
                "BackOff",
                f"Back-off restarting failed container {pod.container} in pod {self._full_name(pod)}",
            )
        elif pod.is_up == self._shown_ready(pod):
            return
        self._write(pod, now)

    def _shown_ready(self, pod: _StaticPod) -> bool:
        """A node that was lost has had its pods marked as not ready."""
        stored = self._context.cluster.get("pods", NAMESPACE, pod.name)
        return stored is not None and pods.is_ready(stored)

    def _create(self, pod: _StaticPod) -> None:
        image = _IMAGES.get(pod.component, f"registry.k8s.io/{pod.container}:{self._context.cluster.git_version}")
        node = self._context.cluster.get("nodes", None, pod.node) or {"metadata": {"uid": ""}}
        digest = hashlib.md5(pod.name.encode(), usedforsecurity=False).hexdigest()
        body: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": pod.name,
                "labels": {"component": pod.container, "tier": "control-plane"}
                if pod.component != "kube-proxy"
                else {"k8s-app": "kube-proxy"},
                "annotations": {
                    "kubernetes.io/config.hash": digest, pods.MIRROR: digest, "kubernetes.io/config.source": "file",
                },
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Node", "name": pod.node, "uid": node["metadata"]["uid"],
                    "controller": True,
                }],
            },
            "spec": {
                # No requests: the scenarios' nodes are theirs alone.
                "containers": [{"name": pod.container, "image": image, "command": [pod.container]}],
                "nodeName": pod.node, "hostNetwork": True, "priorityClassName": "system-node-critical",
                "tolerations": [{"effect": "NoExecute", "operator": "Exists"}],
                "automountServiceAccountToken": False, "enableServiceLinks": True,
            },
        }  # fmt: skip
        try:
            self._context.cluster.create("pods", NAMESPACE, body, user=node_user(pod.node))
        except ApiError as error:
            if error.code != 409:
                raise

    def _write(self, pod: _StaticPod, now: float) -> None:
        stored = self._context.cluster.get("pods", NAMESPACE, pod.name)
        if stored is None:
            self._create(pod)
        wanted = self._status(pod, (stored or {}).get("status") or {}, now)
        self._context.cluster.mutate(
            "pods", NAMESPACE, pod.name, lambda body: body.update(status=wanted), user=node_user(pod.node),
            subresource="status",
        )  # fmt: skip

    def _status(self, pod: _StaticPod, old: Object, now: float) -> Object:
        known = {entry["type"]: entry for entry in old.get("conditions") or ()}
        unready = ("False", "ContainersNotReady", f"containers with unready status: [{pod.container}]")
        ready = ("True", "", "") if pod.is_up else unready
        entries = []
        for type_ in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"):
            status, reason, message = (
                ready if "Ready" in type_ and not type_.startswith("PodReady") else ("True", "", "")
            )
            same = known.get(type_, {}).get("status") == status
            since = known[type_]["lastTransitionTime"] if same else format_time(now)
            entry: Object = {"type": type_, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
            entries.append(entry | ({"reason": reason, "message": message} if reason else {}))
        ended: Object = {
            "exitCode": 1, "reason": "Error", "startedAt": format_time(pod.started_at),
            "finishedAt": format_time(pod.finished_at),
        }  # fmt: skip
        state: Object = {"running": {"startedAt": format_time(pod.started_at)}}
        if not pod.is_up:
            text = (
                f"back-off {pod.back_off.text()} restarting failed container={pod.container} pod={self._full_name(pod)}"
            )
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
            if not pod.back_off.seconds:
                state = {"terminated": ended}
        address = self._addresses[pod.node]
        image = _IMAGES.get(pod.component, f"registry.k8s.io/{pod.container}:{self._context.cluster.git_version}")
        return {
            "phase": "Running", "conditions": entries, "hostIP": address, "hostIPs": [{"ip": address}],
            "podIP": address, "podIPs": [{"ip": address}], "qosClass": "BestEffort",
            "startTime": old.get("startTime") or format_time(now),
            "containerStatuses": [{
                "name": pod.container, "state": state,
                "lastState": {"terminated": ended} if pod.finished_at and "terminated" not in state else {},
                "ready": pod.is_up, "started": pod.is_up, "restartCount": pod.restarts, "image": image,
                "imageID": "sha256:" + hashlib.sha256(image.encode()).hexdigest(),
            }],
        }  # fmt: skip

    def _full_name(self, pod: _StaticPod) -> str:
        stored = self._context.cluster.get("pods", NAMESPACE, pod.name)
        return f"{pod.name}_{NAMESPACE}({stored['metadata']['uid'] if stored else ''})"

    def _event(self, pod: _StaticPod, type_: str, reason: str, message: str) -> None:
        stored = self._context.cluster.get("pods", NAMESPACE, pod.name)
        if stored is not None:
            self._context.cluster.record_event(
                stored, type="Warning" if type_ == "Warning" else "Normal", reason=reason, message=message,
                component="kubelet", host=pod.node, field_path=f"spec.containers{{{pod.container}}}",
            )  # fmt: skip

    def _renew(self, name: str, now: float) -> None:
        cluster, resource = self._context.cluster, "leases.coordination.k8s.io"
        stamp = format_micro_time(now)
        holder = f"{next(iter(self._addresses), 'node1')}_{name}"
        if cluster.get(resource, NAMESPACE, name) is None:
            spec = {
                "holderIdentity": holder, "leaseDurationSeconds": LEASE_SECONDS, "acquireTime": stamp,
                "renewTime": stamp, "leaseTransitions": 0,
            }  # fmt: skip
            cluster.create(
                resource, NAMESPACE, {"metadata": {"name": name}, "spec": spec}, user=node_user("control-plane")
            )
            return
        cluster.mutate(
            resource,
            NAMESPACE,
            name,
            lambda body: body["spec"].update(renewTime=stamp),
            user=node_user("control-plane"),
        )
