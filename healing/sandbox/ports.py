"""What the parts of the sandbox know of each other.

The sandbox is one asyncio process with four parts. Each part sees only these protocols:

- ``api/`` serves the Kubernetes API and owns the objects: it implements `Cluster`.
- ``world/`` holds the controllers, the scheduler and the kubelets. It changes objects only through
  `Cluster` (so quotas, admission and generations apply to controllers as they do to people).
- ``apps/`` models the programs that run in containers: it implements `Runtime`. The kubelet starts
  and stops `Process`es and reads their exit codes; it never knows which fault is on.
- ``signals/`` turns the state of both into Prometheus and Loki answers.

Everything runs on one event loop, so no locks; a method that is not ``async`` never yields.
Objects are plain dicts in the API's JSON shape. What `Cluster.get` and `Cluster.list` return is shared
with the store: read it, never change it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Object = dict[str, Any]
EventType = Literal["ADDED", "MODIFIED", "DELETED"]


class ApiError(Exception):
    """A refusal in the API's words: ``status`` is a complete Status object (``code``, ``reason``, ``message``)."""

    def __init__(self, status: Object) -> None:
        super().__init__(status.get("message", ""))
        self.status = status

    @property
    def code(self) -> int:
        return int(self.status.get("code", 500))

    @property
    def reason(self) -> str:
        return str(self.status.get("reason", ""))


@dataclass(frozen=True, slots=True)
class User:
    """Who sends a request. Controllers: ``system:serviceaccount:kube-system:replicaset-controller``."""

    name: str
    groups: tuple[str, ...] = ()
    #: goes into managedFields
    field_manager: str = ""


#: Called synchronously after each change, in commit order: (event type, new object, old object or None).
Listener = Callable[[EventType, Object, Object | None], None]


class Cluster(Protocol):
    """The API server's semantics without HTTP. ``resource`` is ``pods`` or ``deployments.apps`` (plural.group)."""

    @property
    def git_version(self) -> str:
        """``v1.36.2``: what the API server, and with it every other part of the cluster, is."""

    def has(self, feature: str) -> bool:
        """Whether a cluster of this version does that by default; `healing.sandbox.api.versions` names what."""

    def get(self, resource: str, namespace: str | None, name: str) -> Object | None: ...

    def list(
        self, resource: str, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Object]:
        """All objects; ``labels`` is an exact-match filter. Order: by namespace and name."""

    def create(self, resource: str, namespace: str | None, body: Object, *, user: User) -> Object: ...

    def update(
        self, resource: str, namespace: str | None, name: str, body: Object, *, user: User, subresource: str = ""
    ) -> Object:
        """PUT semantics: a stale ``metadata.resourceVersion`` is a 409 `ApiError`; an equal object writes nothing."""

    def mutate(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        change: Callable[[Object], None],
        *,
        user: User,
        subresource: str = "",
    ) -> Object:
        """Give ``change`` a deep copy to edit, then `update` with it. Never conflicts (one loop, no await)."""

    def apply(self, resource: str, namespace: str | None, body: Object, *, user: User) -> Object:
        """Server-side apply with force, under the user's field manager: creates the object or merges into it."""

    def delete(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        *,
        user: User,
        grace_seconds: int | None = None,
        propagation: str = "Background",
        uid: str | None = None,
    ) -> None:
        """As DELETE: a pod with grace > 0 gets a deletionTimestamp and waits for its kubelet (grace 0)."""

    def subscribe(self, resource: str, listener: Listener) -> Callable[[], None]:
        """Listen to one resource; returns the function that stops it. Existing objects are not replayed."""

    def record_event(
        self,
        regarding: Object,
        *,
        type: Literal["Normal", "Warning"],  # noqa: A002 -- the field's name in the API
        reason: str,
        message: str,
        component: str,
        host: str = "",
        field_path: str = "",
        action: str = "",
    ) -> None:
        """Write an Event as Kubernetes does: same (object, reason, message, component) raises ``count``;
        ``component="default-scheduler"`` gives the events.k8s.io shape (no count, ``eventTime``)."""


@dataclass(frozen=True, slots=True)
class PullResult:
    ok: bool
    #: the kubelet's message after "Failed to pull image ..." (registry's words), empty when ok
    error: str = ""
    duration_seconds: float = 0.0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Exit:
    code: int
    #: ``Completed``, ``Error`` or ``OOMKilled``
    reason: str
    #: an error that kept the process from starting at all (command not in image): ``RunContainerError`` message
    start_error: str = ""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    ok: bool
    #: in the kubelet's words: ``HTTP probe failed with statuscode: 404``, ``dial tcp 10.1.0.7:81: connect: refused``
    message: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_cores: float = 0.0
    memory_bytes: int = 0
    #: written to the container's own layer and to emptyDir volumes
    ephemeral_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LogLine:
    time: float  # seconds since the epoch
    text: str
    stream: Literal["stdout", "stderr"] = "stdout"


@dataclass(slots=True)
class ContainerStart:
    """All a process is given: what the kubelet resolved from the pod."""

    namespace: str
    pod_name: str
    pod_uid: str
    pod_ip: str
    node_name: str
    container: str
    image: str
    command: list[str]
    args: list[str]
    env: dict[str, str]
    #: file contents of mounted ConfigMaps, Secrets: {"/etc/app/config.yaml": "..."}
    files: dict[str, str]
    ports: list[Object]
    cpu_limit_cores: float | None
    memory_limit_bytes: int | None
    cpu_request_cores: float
    memory_request_bytes: int
    restart_count: int
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


class Process(Protocol):
    """A running container's main process, as its kubelet sees it."""

    def poll(self, now: float) -> Exit | None:
        """Advance to ``now`` (seconds since the epoch); the exit, once it has exited."""

    def usage(self) -> Usage: ...

    def http_get(self, port: int, path: str, scheme: str, timeout_seconds: float = 1.0) -> ProbeResult: ...

    def tcp_connect(self, port: int) -> ProbeResult: ...

    def exec(self, command: list[str]) -> ProbeResult: ...

    def terminate(self, now: float) -> None:
        """SIGTERM. The process exits within its own grace; the kubelet calls `kill` when its patience ends."""

    def kill(self, now: float, reason: str = "Error") -> Exit:
        """SIGKILL (also the OOM killer, with reason ``OOMKilled``): exit code 137."""

    def logs(self) -> Sequence[LogLine]:
        """All lines kept so far, oldest first."""


class Runtime(Protocol):
    """The programs of the world. The kubelet calls `pull`, then `start`."""

    def pull(self, image: str, *, authorized: bool = False) -> PullResult:
        """``authorized``: the pod's pull secrets hold credentials for the image's registry."""

    def start(self, start: ContainerStart, now: float) -> Process: ...


@dataclass(frozen=True, slots=True)
class GitOpsOwner:
    """An object that a GitOps tool keeps as its repository says: whoever else changes its spec is overruled."""

    kind: str
    namespace: str
    name: str
    tool: Literal["argocd", "flux"]
    #: of the Argo CD Application or Flux Kustomization
    application: str
    sync_seconds: float = 5.0


class Controller(Protocol):
    """A part of the world with a life of its own; `run` returns when cancelled."""

    async def run(self) -> None: ...


class LogSource(Protocol):
    """Where the API's ``log`` subresource and Loki read containers' logs (implemented by the kubelets)."""

    def logs(self, pod_uid: str, container: str, *, previous: bool = False) -> Sequence[LogLine] | None: ...

    def usage(self, pod_uid: str) -> Mapping[str, Usage]:
        """Usage per running container of a pod."""

    def execute(self, pod_uid: str, container: str, command: list[str]) -> ProbeResult | None:
        """What a command prints in a running container; None if it is not running."""

    def follow(self, pod_uid: str, container: str) -> AsyncIterator[LogLine]: ...
