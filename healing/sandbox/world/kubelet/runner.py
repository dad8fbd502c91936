"""Bringing one container up and seeing it end: image, configuration, start, probes, exit, back-off."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from healing.sandbox.ports import ContainerStart, Exit, Object
from healing.sandbox.world import quantities
from healing.sandbox.world.kubelet import environment, hooks, mounts
from healing.sandbox.world.kubelet.container import Container, Pull
from healing.sandbox.world.kubelet.environment import ConfigError
from healing.sandbox.world.kubelet.pull_secrets import registry_of, registry_secrets

if TYPE_CHECKING:
    from healing.sandbox.world.kubelet.pod_worker import PodWorker

#: pause between two looks at a process that was told to stop
STOP_POLL_SECONDS = 0.25
#: a kubelet gives a process at least this much between SIGTERM and SIGKILL
MIN_GRACE_SECONDS = 2.0
_IMAGE_NAME = re.compile(r"[a-z0-9]+([._:/@-]+[A-Za-z0-9_]+)*\Z")


class Runner:
    """Acts on the containers of one pod; what changed is published by the `PodWorker` it belongs to."""

    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker
        self._context = worker.context
        self._settings = worker.context.settings

    # --- start

    def advance(self, container: Container, now: float) -> None:
        """Take the next step towards a running process, if it is due; else ask to be woken when it is."""
        if container.prepared is not None:
            if now >= container.start_at:
                self._start(container, container.prepared, now)
            else:
                self._worker.wake_at(container.start_at)
            return
        if container.pull is not None:
            if now < container.pull.done_at:
                self._worker.wake_at(container.pull.done_at)
                return
            if not self._pulled(container, container.pull, now):
                return
            self._configure(container, now)
            return
        if now < container.retry_at:
            self._worker.wake_at(container.retry_at)
            return
        if self._in_back_off(container, now):
            return
        if self._has_image(container, now):
            self._configure(container, now)

    def _in_back_off(self, container: Container, now: float) -> bool:
        """A container that has exited before waits 10, 20, 40 ... 300 s from its last exit."""
        since = container.previous_finished_at if container.killed_by_probe else container.finished_at
        if not since:
            return False
        ends = container.back_off.ends(since)
        if now >= ends:
            container.back_off.next(now)
            container.next_waiting = None
            return False
        name, metadata = container.name, self._worker.pod["metadata"]
        full_name = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        container.next_waiting = (
            "CrashLoopBackOff",
            f"back-off {container.back_off.text()} restarting failed container={name} pod={full_name}",
        )
        if container.killed_by_probe:
            # The kubelet stopped it itself, so there is no status of the exit to show first.
            container.wait(*container.next_waiting)
            ends = container.back_off.ends(container.finished_at)
        message = f"Back-off restarting failed container {name} in pod {full_name}"
        self._event(container, "Warning", "BackOff", message)
        container.retry_at = min(now + self._settings.resync_seconds, ends)
        self._worker.wake_at(container.retry_at)
        container.show_waiting_at = now + self._settings.relist_seconds
        self._worker.wake_at(container.show_waiting_at)
        return True

    # --- image

    def _has_image(self, container: Container, now: float) -> bool:
        image = container.image
        policy = container.spec.get("imagePullPolicy") or "IfNotPresent"
        present = image in self._worker.node.images
        if not _IMAGE_NAME.match(image):
            problem = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
            self._refuse(container, now, "InvalidImageName", problem + "invalid reference format", "InspectFailed")
            return False
        if present and policy != "Always":
            message = f'Container image "{image}" already present on machine and can be accessed by the pod'
            self._event(container, "Normal", "Pulled", message)
            return True
        if policy == "Never":
            problem = f'Container image "{image}" is not present with pull policy of Never'
            self._refuse(container, now, "ErrImageNeverPull", problem, "ErrImageNeverPull")
            return False
        if container.pull_failed_at and now < container.image_back_off.ends(container.pull_failed_at):
            self._event(container, "Normal", "BackOff", f'Back-off pulling image "{image}"')
            self._event(container, "Warning", "Failed", "Error: ImagePullBackOff")
            text = f'Back-off pulling image "{image}"'
            if self._context.cluster.has("pull error in back-off"):
                text += f": ErrImagePull: {container.pull_error}"
            container.wait("ImagePullBackOff", text)
            self._retry_later(container, now)
            return False
        self._event(container, "Normal", "Pulling", f'Pulling image "{image}"')
        result = self._context.runtime.pull(image, authorized=self._has_credentials(image))
        container.pull = Pull(now + max(result.duration_seconds, 0.0), result)
        if result.duration_seconds > 0:
            self._worker.wake_at(container.pull.done_at)
            return False
        return self._pulled(container, container.pull, now)

    def _has_credentials(self, image: str) -> bool:
        found, missing = registry_secrets(self._context.cluster, self._worker.pod)
        if missing:
            self._worker.event(
                "Warning", "FailedToRetrieveImagePullSecret",
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                "attempting to pull the image may not succeed.",
            )  # fmt: skip
        return registry_of(image) in found

    def _pulled(self, container: Container, pull: Pull, now: float) -> bool:
        container.pull = None
        image, result = container.image, pull.result
        if result.ok:
            self._worker.node.images[image] = result.size_bytes
            container.pull_failed_at = 0.0
            took = _go_duration(result.duration_seconds)
            message = (
                f'Successfully pulled image "{image}" in {took} ({took} including waiting). '
                f"Image size: {result.size_bytes} bytes."
            )
            self._event(container, "Normal", "Pulled", message)
            return True
        container.image_back_off.next(now)
        container.pull_failed_at, container.pull_error = now, result.error
        self._event(container, "Warning", "Failed", f'Failed to pull image "{image}": {result.error}')
        self._event(container, "Warning", "Failed", "Error: ErrImagePull")
        container.wait("ErrImagePull", result.error)
        container.retry_at = now + self._settings.relist_seconds
        self._worker.wake_at(container.retry_at)
        return False

    def _refuse(self, container: Container, now: float, reason: str, message: str, event: str) -> None:
        self._event(container, "Warning", event, message)
        self._event(container, "Warning", "Failed", f"Error: {reason}")
        container.wait(reason, message)
        self._retry_later(container, now)

    # --- configuration and start

    def _configure(self, container: Container, now: float) -> None:
        try:
            prepared = self._prepare(container)
        except ConfigError as error:
            self._event(container, "Warning", "Failed", f"Error: {error}")
            container.wait("CreateContainerConfigError", str(error))
            self._retry_later(container, now)
            return
        self._event(container, "Normal", "Created", "Container created")
        container.prepared = prepared
        container.start_at = now + self._settings.container_start_seconds
        self._worker.wake_at(container.start_at)

    def _retry_later(self, container: Container, now: float) -> None:
        container.retry_at = now + self._settings.resync_seconds
        self._worker.wake_at(container.retry_at)

    def _prepare(self, container: Container) -> ContainerStart:
        worker, spec = self._worker, container.spec
        pod, metadata = worker.pod, worker.pod["metadata"]
        environment.check_user(pod, spec)
        env = environment.resolve(self._context.cluster, pod, spec, pod_ip=worker.pod_ip, host_ip=worker.node.ip)
        env.setdefault("HOSTNAME", pod["spec"].get("hostname") or metadata["name"])
        container.files = mounts.container_files(spec, worker.volumes)
        resources = spec.get("resources") or {}
        limits = resources.get("limits") or {}
        requests = {**limits, **(resources.get("requests") or {})}
        return ContainerStart(
            namespace=metadata["namespace"],
            pod_name=metadata["name"],
            pod_uid=metadata["uid"],
            pod_ip=worker.pod_ip,
            node_name=worker.node.name,
            container=container.name,
            image=container.image,
            command=[environment.expand(part, env) for part in spec.get("command") or ()],
            args=[environment.expand(part, env) for part in spec.get("args") or ()],
            env=env,
            files=container.files,
            ports=list(spec.get("ports") or ()),
            cpu_limit_cores=float(quantities.parse(limits["cpu"])) if "cpu" in limits else None,
            memory_limit_bytes=int(quantities.parse(limits["memory"])) if "memory" in limits else None,
            cpu_request_cores=float(quantities.parse(requests.get("cpu"))),
            memory_request_bytes=int(quantities.parse(requests.get("memory"))),
            restart_count=container.restart_count + (1 if container.ever_started else 0),
            labels=dict(metadata.get("labels") or {}),
            annotations=dict(metadata.get("annotations") or {}),
        )

    def _start(self, container: Container, prepared: ContainerStart, now: float) -> None:
        container.prepared = None
        process = self._context.runtime.start(prepared, now)
        container.begin(process, self._worker.uid, now)
        first = process.poll(now)
        if first is not None and first.start_error:
            self._event(container, "Warning", "Failed", f"Error: {first.start_error}")
            container.fail_to_start(first.start_error, now)
            container.retry_at = now + self._settings.relist_seconds
            self._worker.wake_at(container.retry_at)
            return
        self._event(container, "Normal", "Started", "Container started")
        hook = ((container.spec.get("lifecycle") or {}).get("postStart") or {}) if first is None else {}
        if hook and not hooks.run(hook, container, self._worker.pod_ip).ok:
            self._event(container, "Warning", "FailedPostStartHook", "PostStartHook failed")
            self._event(container, "Normal", "Killing", "FailedPostStartHook")
            self.stop(container, self._worker.grace_seconds, now)
        self._worker.wake_at(now + self._settings.relist_seconds)
        for prober in container.probers:
            self._worker.wake_at(prober.next_at)

    # --- a running container

    def watch(self, container: Container, now: float) -> bool:
        """Look at a running container; true if it has exited."""
        process = container.process
        if process is None:
            return False
        exit_ = process.poll(now)
        if exit_ is None and container.kill_at is not None:
            if now >= container.kill_at:
                exit_ = process.kill(now)
            else:
                self._worker.wake_at(min(container.kill_at, now + STOP_POLL_SECONDS))
        if exit_ is not None:
            container.end(exit_, now)
            container.retry_at = now
            return True
        self._worker.wake_at(now + self._settings.relist_seconds)
        if container.kill_at is None:
            self._probe(container, now)
        return False

    def stop(self, container: Container, grace_seconds: float, now: float) -> None:
        """SIGTERM now, SIGKILL when the grace has passed."""
        if container.process is None or not container.running or container.kill_at is not None:
            return
        container.kill_at = now + max(grace_seconds, MIN_GRACE_SECONDS)
        hook = (container.spec.get("lifecycle") or {}).get("preStop") or {}
        if hook and not hooks.run(hook, container, self._worker.pod_ip).ok:
            self._event(container, "Warning", "FailedPreStopHook", "PreStopHook failed")
        container.process.terminate(now)
        self._worker.wake_at(now + STOP_POLL_SECONDS)

    def _probe(self, container: Container, now: float) -> None:
        process = container.process
        if process is None:
            return
        for prober in container.probers:
            if prober.kind == "startup":
                if container.started:
                    continue
            elif not container.started:
                continue
            if now < prober.next_at:
                self._worker.wake_at(prober.next_at)
                continue
            result = prober.run(process, self._worker.pod_ip, now)
            self._worker.wake_at(prober.next_at)
            if not result.ok:
                self._event(container, "Warning", "Unhealthy", f"{prober.title} probe failed: {result.message}")
            if prober.kind == "startup" and prober.verdict == "success":
                self._started(container, now)
            elif prober.kind == "readiness":
                container.ready = prober.verdict == "success"
            elif prober.exhausted:
                self._restart_for(container, prober.kind, now, prober.spec)
                return

    def _started(self, container: Container, now: float) -> None:
        container.started = True
        container.ready = not any(prober.kind == "readiness" for prober in container.probers)
        for prober in container.probers:
            if prober.kind != "startup" and prober.next_at <= now:
                prober.next_at = now
                self._worker.wake_at(now + 0.01)

    def _restart_for(self, container: Container, kind: str, now: float, probe: Object) -> None:
        message = f"Container {container.name} failed {kind} probe, will be restarted"
        self._event(container, "Normal", "Killing", message)
        container.killed_by_probe = True
        grace = probe.get("terminationGracePeriodSeconds") or self._worker.grace_seconds
        self.stop(container, float(grace), now)

    def _event(self, container: Container, type_: str, reason: str, message: str) -> None:
        self._worker.event(type_, reason, message, field_path=container.field_path)


def lost_exit() -> Exit:
    """The exit of a process whose node went down under it."""
    return Exit(255, "Unknown")


def _go_duration(seconds: float) -> str:
    if seconds >= 60:
        return f"{int(seconds) // 60}m{seconds % 60:.3g}s"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s" if seconds >= 1 else f"{int(seconds * 1000)}ms"
