"""One container of a pod, over all its restarts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from healing.sandbox.ports import ContainerStart, Exit, Object, Process, PullResult
from healing.sandbox.world.context import Settings, format_time
from healing.sandbox.world.kubelet.backoff import BackOff
from healing.sandbox.world.kubelet.probes import Prober

State = Literal["waiting", "running", "terminated"]
#: at most so much of the log becomes a termination message
_MESSAGE_BYTES, _MESSAGE_LINES = 2048, 80


@dataclass(slots=True)
class Pull:
    """An image on its way to the node."""

    done_at: float
    result: PullResult


@dataclass(slots=True)
class Container:
    spec: Object
    is_init: bool
    back_off: BackOff
    image_back_off: BackOff
    state: State = "waiting"
    waiting_reason: str = "ContainerCreating"
    waiting_message: str = ""
    #: shown from the next sync on, as the kubelet reads a status before it acts
    next_waiting: tuple[str, str] | None = None
    show_waiting_at: float = 0.0
    started_at: float = 0.0
    terminated: Object | None = None
    last_terminated: Object | None = None
    finished_at: float = 0.0
    #: when the exit before this one was; what a restart after a failed liveness probe is measured from
    previous_finished_at: float = 0.0
    restart_count: int = 0
    container_id: str = ""
    image_id: str = ""
    ever_started: bool = False
    #: its startup probe (if any) has succeeded
    started: bool = False
    ready: bool = False
    process: Process | None = None
    previous_process: Process | None = None
    #: the next process, created and about to run
    prepared: ContainerStart | None = None
    start_at: float = 0.0
    pull: Pull | None = None
    pull_failed_at: float = 0.0
    pull_error: str = ""
    #: SIGTERM was sent: when SIGKILL follows
    kill_at: float | None = None
    killed_by_probe: bool = False
    probers: list[Prober] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    retry_at: float = 0.0

    @classmethod
    def of(cls, spec: Object, *, is_init: bool, waits: bool, settings: Settings) -> Container:
        return cls(
            spec=spec,
            is_init=is_init,
            back_off=BackOff(settings.container_back_off_initial_seconds, settings.container_back_off_max_seconds),
            image_back_off=BackOff(settings.image_back_off_initial_seconds, settings.image_back_off_max_seconds),
            waiting_reason="PodInitializing" if waits else "ContainerCreating",
            probers=Prober.of_container(spec),
        )

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def image(self) -> str:
        return str(self.spec["image"])

    @property
    def is_sidecar(self) -> bool:
        return self.is_init and self.spec.get("restartPolicy") == "Always"

    @property
    def field_path(self) -> str:
        return f"spec.{'initContainers' if self.is_init else 'containers'}{{{self.name}}}"

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def succeeded(self) -> bool:
        return self.state == "terminated" and self.terminated is not None and self.terminated["exitCode"] == 0

    @property
    def stopped(self) -> bool:
        """It ran and does not run now: terminated, or waiting to be started again."""
        return self.state == "terminated" or (self.state == "waiting" and self.last_terminated is not None)

    def wait(self, reason: str, message: str = "") -> None:
        if self.state == "terminated" and self.terminated is not None:
            self.last_terminated = self.terminated
            self.terminated = None
        self.state, self.waiting_reason, self.waiting_message = "waiting", reason, message
        self.started = self.ready = self.killed_by_probe = False

    def begin(self, process: Process, pod_uid: str, now: float) -> None:
        """A new process runs."""
        if self.terminated is not None:
            self.last_terminated = self.terminated
            self.terminated = None
        if self.ever_started:
            self.restart_count += 1
            self.previous_process = self.process
        self.ever_started = True
        self.process = process
        self.state, self.started_at = "running", now
        self.container_id = "containerd://" + _digest(f"{pod_uid}/{self.name}/{self.restart_count}/{now}")
        self.image_id = "sha256:" + _digest(self.image)
        self.kill_at, self.killed_by_probe, self.next_waiting = None, False, None
        for prober in self.probers:
            prober.begin(now)
        self.started = not any(prober.kind == "startup" for prober in self.probers)
        self.ready = self.started and not any(prober.kind == "readiness" for prober in self.probers)

    def end(self, exit_: Exit, now: float) -> None:
        """Its process has exited."""
        ended: Object = {"exitCode": exit_.code, "reason": exit_.reason}
        message = self._message(exit_)
        if message:
            ended["message"] = message
        ended |= {
            "startedAt": format_time(self.started_at), "finishedAt": format_time(now), "containerID": self.container_id,
        }  # fmt: skip
        self.terminated, self.state = ended, "terminated"
        self.previous_finished_at, self.finished_at = self.finished_at, now
        self.started = self.ready = False
        self.kill_at = None

    def fail_to_start(self, error: str, now: float) -> None:
        """The runtime could not start the process at all, e.g. its command is not in the image."""
        self.state = "waiting"
        self.waiting_reason, self.waiting_message = "RunContainerError", error
        self.last_terminated = {
            "exitCode": 128, "reason": "StartError", "message": error, "startedAt": format_time(0),
            "finishedAt": format_time(now), "containerID": self.container_id,
        }  # fmt: skip
        self.previous_finished_at, self.finished_at = self.finished_at, now
        self.started = self.ready = False

    def _message(self, exit_: Exit) -> str:
        if exit_.code == 0 or self.spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return ""
        lines = [line.text for line in self.process.logs()[-_MESSAGE_LINES:]] if self.process else []
        return "\n".join(lines)[-_MESSAGE_BYTES:]

    def view(self) -> tuple[object, ...]:
        """Changes whenever the container's status does."""
        return (
            self.state, self.waiting_reason, self.waiting_message, self.restart_count, self.ready, self.started,
            self.container_id, self.finished_at,
        )  # fmt: skip

    def state_object(self) -> Object:
        if self.state == "running":
            return {"running": {"startedAt": format_time(self.started_at)}}
        if self.state == "terminated" and self.terminated is not None:
            return {"terminated": self.terminated}
        waiting: Object = {"reason": self.waiting_reason}
        if self.waiting_message:
            waiting["message"] = self.waiting_message
        return {"waiting": waiting}


def full_image_name(image: str) -> str:
    """``busybox:1.36`` is ``docker.io/library/busybox:1.36`` once the runtime has it."""
    first, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    return image if "." in first or ":" in first or first == "localhost" else f"docker.io/{image}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
