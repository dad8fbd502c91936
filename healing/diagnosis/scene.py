"""What analyzers look at: a snapshot with what is derived from it once (containers, histories, calls)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from healing.diagnosis import log_records, logs, reading as r
from healing.diagnosis.calls import Calls, call_graph
from healing.diagnosis.hypothesis import bare, evidence
from healing.diagnosis.links import loki_query
from healing.diagnosis.log_rules import Match, classify
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import History, history
from healing.diagnosis.snapshot import Snapshot
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Series
from healing.redaction import redact

#: A restart this long ago still counts as trouble of now.
RECENT = timedelta(minutes=10)
#: What a program that is well complained of before that is over.
LATELY = timedelta(minutes=1)
#: A failure that came again and again and is silent for this long, and for so many of its intervals, has stopped.
_SILENT, _SILENT_INTERVALS = timedelta(seconds=10), 4
#: Whoever has run for so many of its last lives, and for `LATELY`, does not crash any more.
_LIVES = 3
#: So long a container may take to be created, a pod to be scheduled and to become ready, without being a fault.
PATIENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod as its status tells. Times are None where the status has none."""

    pod: Object
    name: str
    spec: Object
    status: Object
    is_init: bool

    @property
    def waiting(self) -> str:
        """Reason it waits for, or empty."""
        return r.text(self.status, "state", "waiting", "reason")

    @property
    def waiting_message(self) -> str:
        return r.text(self.status, "state", "waiting", "message")

    @property
    def ended(self) -> Object:
        """How it ended: now, or the last time; an empty dict if it never did."""
        return r.mapping(self.status, "state", "terminated") or r.mapping(self.status, "lastState", "terminated")

    @property
    def exit_code(self) -> int | None:
        code = r.at(self.ended, "exitCode")
        return code if isinstance(code, int) and not isinstance(code, bool) else None

    @property
    def finished_at(self) -> datetime | None:
        return r.moment(self.ended, "finishedAt")

    @property
    def lifetime_seconds(self) -> float | None:
        """How long the last run took."""
        start, end = r.moment(self.ended, "startedAt"), self.finished_at
        return (end - start).total_seconds() if start and end and start.year > 1970 else None

    @property
    def restarts(self) -> int:
        return r.number(self.status, "restartCount")

    @property
    def is_running(self) -> bool:
        return bool(r.mapping(self.status, "state", "running")) or isinstance(
            r.at(self.status, "state", "running"), dict
        )

    @property
    def is_ready(self) -> bool:
        return self.status.get("ready") is True

    @property
    def was_oom_killed(self) -> bool:
        return r.text(self.ended, "reason") == "OOMKilled"


class Scene:
    """See the module. Everything is computed on first use and kept."""

    def __init__(
        self, snapshot: Snapshot, namespaces: frozenset[str] | None = None, target: ObjectRef | None = None
    ) -> None:
        self.snapshot = snapshot
        #: what somebody complains of, if anyone does
        self.target = bare(target) if target is not None else None
        #: only these namespaces are examined; None: all
        self.namespaces = namespaces
        self._histories: dict[ObjectRef, History | None] = {}
        self._matches: dict[tuple[str, str, str], list[Match]] = {}

    @cached_property
    def now(self) -> datetime:
        return self.snapshot.now

    @cached_property
    def calls(self) -> Calls:
        return call_graph(self.snapshot)

    @cached_property
    def _pods_by_label(self) -> dict[tuple[str, str, str], list[Object]]:
        found: dict[tuple[str, str, str], list[Object]] = defaultdict(list)
        for pod in self.snapshot.of_kind("Pod"):
            namespace = r.text(pod, "metadata", "namespace")
            for key, value in r.labels(pod, "metadata", "labels").items():
                found[namespace, key, value].append(pod)
        return dict(found)

    def selected(self, namespace: str, selector: dict[str, str]) -> list[Object]:
        """Pods with all these labels; none for an empty selector."""
        if not selector:
            return []
        candidates = min((self._pods_by_label.get((namespace, k, v), []) for k, v in selector.items()), key=len)
        return [p for p in candidates if selector.items() <= r.labels(p, "metadata", "labels").items()]

    @cached_property
    def pods_by_node(self) -> dict[str, list[Object]]:
        """All pods, by the name of their node."""
        found: dict[str, list[Object]] = defaultdict(list)
        for pod in self.snapshot.of_kind("Pod"):
            found[node_of(pod)].append(pod)
        return dict(found)

    @cached_property
    def series_by_pod(self) -> dict[tuple[str, str], list[Series]]:
        """Series with labels ``namespace`` and ``pod``, by these two."""
        found: dict[tuple[str, str], list[Series]] = defaultdict(list)
        for one in self.snapshot.series:
            if pod := one.labels.get("pod"):
                found[one.labels.get("namespace", ""), pod].append(one)
        return dict(found)

    def covers(self, namespace: str) -> bool:
        """Whether objects of the namespace are examined; cluster-scoped ones always are."""
        return self.namespaces is None or not namespace or namespace in self.namespaces

    @cached_property
    def pods(self) -> dict[ObjectRef, list[Object]]:
        """Pods that should be alive, by workload: what is being deleted or was evicted is no news of its own."""
        found = {}
        for workload, pods in self.snapshot.pods_by_workload().items():
            if self.covers(workload.namespace):
                found[workload] = [p for p in pods if not is_over(p)]
        return found

    @cached_property
    def containers(self) -> dict[ObjectRef, list[Container]]:
        """All containers of living pods, by workload."""
        return {workload: [c for pod in pods for c in containers_of(pod)] for workload, pods in self.pods.items()}

    @cached_property
    def troubled(self) -> dict[ObjectRef, list[Container]]:
        """Containers that end with errors again and again, or did so moments ago, by workload."""
        found: dict[ObjectRef, list[Container]] = defaultdict(list)
        for workload, containers in self.containers.items():
            for container in containers:
                if self.is_crashing(container):
                    found[workload].append(container)
        return dict(found)

    def is_crashing(self, container: Container) -> bool:
        """Whether a container's ends are a fault of now."""
        if container.waiting in ("CrashLoopBackOff", "RunContainerError", "StartError"):
            return True
        if r.mapping(container.status, "state", "terminated"):
            return container.exit_code not in (0, None)
        if container.exit_code in (0, None) or container.finished_at is None:
            return False
        if self.now - container.finished_at > RECENT or self._has_got_over_it(container):
            return False
        return container.was_oom_killed or container.restarts >= 2 or not container.is_ready

    def _has_got_over_it(self, container: Container) -> bool:
        """Ready, and by now for much longer than it lived the last time: as after a start before what it needs."""
        started, lived = r.moment(container.status, "state", "running", "startedAt"), container.lifetime_seconds
        if started is None or lived is None or not container.is_ready:
            return False
        return self.now - started > max(LATELY, timedelta(seconds=_LIVES * lived))

    def has_moved_on(self, container: Container, match: Match) -> bool:
        """Whether the program went on after what it said, and did not say it again: as at a start before others are up.

        Of a run that has ended its end counts, not now.
        """
        at = match.record.at
        if at is None:
            return False
        ended = container.finished_at
        end = ended if ended is not None and at <= ended else self.now
        patience = max(_SILENT, timedelta(seconds=_SILENT_INTERVALS * (match.every_seconds or 0.0)))
        if end - at <= patience:
            return False
        later = log_records.last_moment(self.log_of(container), until=end)
        return later is not None and later - at > patience / 2

    def has_stopped(self, match: Match) -> bool:
        """Whether what the log tells of came several times and then no more. Without times nobody knows: False."""
        if match.record.at is None or match.every_seconds is None:
            return False
        silence = self.now - match.record.at
        return silence > max(_SILENT, timedelta(seconds=_SILENT_INTERVALS * match.every_seconds))

    def history(self, workload: ObjectRef) -> History | None:
        """The workload's revisions, if known."""
        key = bare(workload)
        if key not in self._histories:
            obj = self.snapshot.find(key)
            self._histories[key] = history(self.snapshot, obj) if obj is not None else None
        return self._histories[key]

    def workload_object(self, workload: ObjectRef) -> Object | None:
        """The workload itself; of a naked pod the pod."""
        return self.snapshot.find(workload)

    def log_of(self, container: Container) -> str:
        """The log that tells most: of the run that ended, else the current one."""
        previous = self.snapshot.log(container.pod, container.name, previous=True)
        current = self.snapshot.log(container.pod, container.name)
        if not current:
            return previous
        if not previous:
            return current
        return f"{previous}\n{current}"

    def matches(self, container: Container) -> list[Match]:
        """What the log rules say of a container's log."""
        ref = ObjectRef.of(container.pod)
        key = (ref.namespace, ref.name, container.name)
        if key not in self._matches:
            self._matches[key] = classify(logs.failures(self.log_of(container), since=self._speaks_since(container)))
        return self._matches[key]

    def _speaks_since(self, container: Container) -> datetime | None:
        """A container that is well speaks of now only in what it said lately."""
        return self.now - LATELY if container.is_ready and not self.is_crashing(container) else None

    def log_evidence(self, container: Container, match: Match | None = None) -> list[Evidence]:
        """Lines of a container's log: those of a match, or the failures, or the end."""
        log = self.log_of(container)
        if not log.strip():
            return []
        spans: list[str]
        if match is not None:
            text, title = match.record.raw, "The log says why"
            spans = [match.span] if match.span else []
        elif found := logs.failures(log, 5, since=self._speaks_since(container)):
            text, title = logs.excerpt(found), "Errors in the log"
            spans = [item.record.first_line[:300] for item in found[:3]]
        else:
            text, title = logs.tail(log, 10), "The end of the log"
            spans = []
        pod = bare(ObjectRef.of(container.pod, "Pod"))
        return [
            evidence(
                "log",
                f"{title} ({pod.name}/{container.name})",
                text,
                obj=pod,
                source="logs",
                link=self.log_link(pod),
                # pieces of the text as it is shown: a page marks the lines that hold one
                data={"highlight": [redact(span) for span in spans]} if spans else None,
            )
        ]

    def log_link(self, pod: ObjectRef) -> str:
        """Where the pod's lines can be read in Loki, if there is one."""
        query = f'{{namespace="{pod.namespace}", pod="{pod.name}"}}'
        return loki_query(self.snapshot.loki_url, query, self.now) if self.snapshot.loki_url else ""

    def ready_pods(self, workload: ObjectRef) -> int:
        """How many of the workload's pods are ready."""
        return sum(is_ready(pod) for pod in self.pods.get(bare(workload), ()))

    def services_of(self, workload: ObjectRef) -> set[ObjectRef]:
        """Services in front of the workload."""
        key = bare(workload)
        return {service for service, backends in self.calls.backends.items() if key in backends}

    def around(self, workload: ObjectRef) -> set[ObjectRef]:
        """What suffers when the workload does: its pods and the Services in front of it."""
        pods = {bare(ObjectRef.of(pod, "Pod")) for pod in self.pods.get(bare(workload), ())}
        return pods | self.services_of(workload)


def containers_of(pod: Object) -> list[Container]:
    """The pod's containers, init containers first."""
    found = []
    for key, statuses, is_init in (
        ("initContainers", "initContainerStatuses", True),
        ("containers", "containerStatuses", False),
    ):
        by_name = r.named(r.dicts(pod, "status", statuses))
        for name, spec in r.named(r.dicts(pod, "spec", key)).items():
            found.append(Container(pod, name, spec, by_name.get(name, {}), is_init))
    return found


def is_over(pod: Object) -> bool:
    """Deleted, evicted or finished: nothing that would have to work."""
    phase = r.text(pod, "status", "phase")
    return (
        bool(r.text(pod, "metadata", "deletionTimestamp"))
        or phase == "Succeeded"
        or r.text(pod, "status", "reason")
        in (
            "Evicted",
            "Shutdown",
            "NodeShutdown",
            "Terminated",
            "Preempting",
        )
    )


def is_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition is True."""
    return r.condition(pod, "Ready").get("status") == "True"


def node_of(pod: Object) -> str:
    """The node's name, or empty."""
    return r.text(pod, "spec", "nodeName")
