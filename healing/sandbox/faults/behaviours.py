"""Faults of running programs and of machines. They end with what they sit in: a process, a pod, a revision."""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

from healing.sandbox.apps.effects import Effects
from healing.sandbox.apps.program import Crash
from healing.sandbox.apps.runtime import Behaviour
from healing.sandbox.apps.starting import ReplacedProcess
from healing.sandbox.faults.base import ON_WORKLOAD, Fault, FaultError, Outcome, Parameter, Scene, selector_labels
from healing.sandbox.ports import Exit
from healing.sandbox.world.nodes import FAILURE_KINDS

Scope = Literal["process", "pod", "revision", "workload"]


def misbehave(scene: Scene, effects: Effects, summary: str, default_scope: Scope) -> Outcome:
    scope = str(scene.params["scope"] or default_scope)
    if scope not in get_args(Scope):
        raise FaultError(f"scope: {scope!r} is none of {', '.join(get_args(Scope))}")
    processes = scene.processes()
    if scene.params["container"]:
        processes = [p for p in processes if p.start.container == scene.params["container"]]
    if scope != "workload" and not processes:
        raise FaultError(f"workload: no process of {scene.params['workload']!r} is running")
    count = int(scene.params["pods"])
    chosen = sorted(processes, key=lambda p: p.start.pod_name)[: count or None]
    runtime = scene.runtime
    identities = {id(p) for p in chosen}
    identities |= {id(p.server) for p in chosen if isinstance(p, ReplacedProcess) and p.server is not None}
    _, workload = scene.workload()
    base = selector_labels(workload)
    hashes = {p.start.labels.get(name) for p in chosen for name in _REVISION_LABELS if name in p.start.labels}
    labels = [base]
    if scope == "revision":
        labels = [
            base | {name: str(value)} for name in _REVISION_LABELS for value in hashes
            if any(p.start.labels.get(name) == value for p in chosen)
        ]  # fmt: skip
    runtime.add_behaviour(
        Behaviour(
            name=scene.injection_id,
            namespace=scene.namespace,
            scope=cast("Scope", scope),
            effects=effects,
            processes=frozenset(identities),
            pod_uids=frozenset(p.start.pod_uid for p in chosen),
            labels=tuple(tuple(sorted(wanted.items())) for wanted in labels),
            container=str(scene.params["container"]),
        )
    )
    where = "all pods" if not count else f"{len(chosen)} pod(s)"
    return scene.target(), f"{summary} ({where}, until its {scope} ends)", lambda: _stop(scene)


_REVISION_LABELS = ("pod-template-hash", "controller-revision-hash")


def _stop(scene: Scene) -> None:
    scene.runtime.remove_behaviour(scene.injection_id)


def memory_leak(scene: Scene) -> Outcome:
    rate = float(scene.params["bytes_per_second"])
    return misbehave(scene, Effects(leak_bytes_per_second=rate), f"leaks {rate / 2**20:.1f} MiB/s", "revision")


def cpu_hog(scene: Scene) -> Outcome:
    cores = float(scene.params["cores"])
    return misbehave(scene, Effects(cpu_cores=cores), f"spins on {cores:g} cores", "pod")


def slow(scene: Scene) -> Outcome:
    seconds = float(scene.params["seconds"])
    return misbehave(scene, Effects(latency_seconds=seconds), f"answers {seconds:g} s late", "process")


def errors(scene: Scene) -> Outcome:
    rate = min(1.0, float(scene.params["error_rate"]))
    return misbehave(scene, Effects(error_rate=rate), f"fails {rate:.0%} of its requests", "process")


def lost_dependency(scene: Scene) -> Outcome:
    name = str(scene.params["env"])
    return misbehave(scene, Effects(lost=frozenset({name})), f"gets no answer from {name}", "process")


def crash(scene: Scene) -> Outcome:
    params = scene.params
    effects = Effects(crash=Crash(params["after_seconds"], params["exit_code"], params["message"]))
    return misbehave(scene, effects, f"exits {params['exit_code']} again and again", "pod")


def hang(scene: Scene) -> Outcome:
    return misbehave(scene, Effects(hang=True), "accepts connections and never answers", "process")


def log_chatter(scene: Scene) -> Outcome:
    rate, level = float(scene.params["lines_per_second"]), str(scene.params["level"])
    if level not in _LEVELS:
        raise FaultError(f"level: {level!r} is none of {', '.join(_LEVELS)}")
    return misbehave(scene, Effects(chatter=((level, rate),)), f"prints {rate:g} {level} lines a second", "revision")


def harmless_restart(scene: Scene) -> Outcome:
    """A process ends once, properly, and its kubelet starts it again."""
    chosen = sorted(scene.processes(), key=lambda p: p.start.pod_name)[: int(scene.params["pods"]) or None]
    if not chosen:
        raise FaultError(f"workload: no process of {scene.params['workload']!r} is running")
    now = scene.runtime.clock()
    for process in chosen:
        process.finish(now, Exit(0, "Completed"))
    return scene.target(), f"restarted {len(chosen)} container(s) once", lambda: None


_LEVELS = ("debug", "info", "warn", "error")


def node_failure(scene: Scene) -> Outcome:
    if scene.world is None:
        raise FaultError("this world has no machines to fail")
    name, kind = str(scene.params["node"]), str(scene.params["kind"])
    if not name:
        name = _busiest_node(scene)
    if scene.cluster.get("nodes", None, name) is None:
        raise FaultError(f"node: no {name!r}")
    handle = scene.world.node(name)
    try:
        handle.fail(cast("Any", kind))
    except ValueError as error:
        raise FaultError(f"kind: {error}") from error
    return {"kind": "Node", "namespace": "", "name": name}, f"node {name}: {kind}", handle.recover


def _busiest_node(scene: Scene) -> str:
    """The node with most processes of the namespace (of the world, without one)."""
    namespace = scene.params["namespace"]
    counts: dict[str, int] = {}
    for process in scene.runtime.processes.values():
        if process.running and (not namespace or process.start.namespace == namespace):
            counts[process.start.node_name] = counts.get(process.start.node_name, 0) + 1
    if not counts:
        raise FaultError("node: nothing runs anywhere; name a node")
    return max(sorted(counts), key=counts.__getitem__)


SCOPE = Parameter("scope", "string", "process, pod, revision or workload; see docs/scenarios.md", default="")
ALL_PODS = Parameter("pods", "integer", "how many pods; 0 is all", default=0)
_ONE_POD = Parameter("pods", "integer", "how many pods; 0 is all", default=1)

FAULTS = (
    Fault(
        "memory-leak", "A program starts to leak memory", "behaviour", memory_leak,
        (*ON_WORKLOAD, Parameter("bytes_per_second", "bytes", "size of the leak", default=4 << 20), SCOPE, ALL_PODS),
    ),
    Fault(
        "cpu-hog", "A program spins", "behaviour", cpu_hog,
        (*ON_WORKLOAD, Parameter("cores", "number", "cores it wants", default=2.0), SCOPE, _ONE_POD),
    ),
    Fault(
        "slow-dependency", "A service answers late", "behaviour", slow,
        (*ON_WORKLOAD, Parameter("seconds", "number", "added latency", default=3.0), SCOPE, ALL_PODS),
    ),
    Fault(
        "errors", "A service answers with errors", "behaviour", errors,
        (*ON_WORKLOAD, Parameter("error_rate", "number", "share of requests, 0 to 1", default=0.5), SCOPE, ALL_PODS),
    ),
    Fault(
        "lost-dependency", "A service no longer reaches one it calls", "behaviour", lost_dependency,
        (*ON_WORKLOAD, Parameter("env", "string", "variable with the address", required=True), SCOPE, ALL_PODS),
    ),
    Fault(
        "crash", "A program ends with an error, again and again", "behaviour", crash,
        (
            *ON_WORKLOAD,
            Parameter("exit_code", "integer", "its exit code", default=1),
            Parameter("message", "string", "what it prints", default="unrecoverable state: index out of range"),
            Parameter("after_seconds", "number", "how long it runs each time", default=4.0), SCOPE, ALL_PODS,
        ),
    ),
    Fault(
        "hang", "A program accepts connections and answers nothing", "behaviour", hang,
        (*ON_WORKLOAD, SCOPE, ALL_PODS),
    ),
    Fault(
        "log-chatter", "A program prints a lot", "behaviour", log_chatter,
        (
            *ON_WORKLOAD, Parameter("lines_per_second", "number", "of each process", default=2.0),
            Parameter("level", "string", "debug, info, warn or error", default="warn"), SCOPE, ALL_PODS,
        ),
    ),
    Fault(
        "harmless-restart", "A container restarts once, without harm", "behaviour", harmless_restart,
        (*ON_WORKLOAD, _ONE_POD),
    ),
    Fault(
        "node-failure", "A machine fails", "machine", node_failure,
        (
            Parameter("node", "string", "its name; the busiest one unless given", default=""),
            Parameter("namespace", "string", "whose busiest node", default=""),
            Parameter(
                "kind", "string", ", ".join(FAILURE_KINDS), default="down",
            ),
        ),
    ),
)  # fmt: skip
