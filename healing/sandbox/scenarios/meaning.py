"""What a schema cannot say of a scenario: names that lead nowhere, steps out of order, expectations at odds."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from healing.sandbox.apps.images import Catalogue
from healing.sandbox.apps.program import DefinitionError
from healing.sandbox.faults import FaultError, FaultInjector
from healing.sandbox.faults.behaviours import Scope
from healing.sandbox.ports import Object
from healing.sandbox.scenarios import parts
from healing.sandbox.scenarios.inventory import MEASURED, WORKLOADS, Inventory
from healing.sandbox.scenarios.located import Located, Path_
from healing.sandbox.scenarios.model import Scenario, Step, Vocabulary
from healing.sandbox.world.nodes import FAILURE_KINDS


class Checks:
    """Checks what one file adds to a scenario; what it extends has been checked in its own file."""

    def __init__(self, scenario: Scenario, document: Located, vocabulary: Vocabulary) -> None:
        self._scenario = scenario
        self._document = document
        self._data: Mapping[str, Any] = document.data
        self._vocabulary = vocabulary
        self._inventory = Inventory(scenario)
        self._problems: list[str] = []

    def problems(self) -> list[str]:
        """One ``file:line: reason`` each."""
        self._check_catalogue()
        self._check_history()
        for index, entry in enumerate(self._data.get("traffic", [])):
            self._check_traffic(("traffic", index), entry)
        for index, entry in enumerate(self._data.get("gitops", [])):
            self._check_reference(("gitops", index), entry, "name")
        self._check_policies()
        self._check_timeline()
        self._check_expectations()
        return self._problems

    def _problem(self, path: Path_, reason: str) -> None:
        self._problems.append(f"{self._document.where(path)}: {reason}")

    # the world

    def _check_catalogue(self) -> None:
        if "catalogue" in self._data:
            try:
                Catalogue.bundled().extend(self._scenario.catalogue, "catalogue")
            except DefinitionError as error:
                self._problem(("catalogue",), str(error))

    def _check_history(self) -> None:
        for index, entry in enumerate(self._data.get("history", [])):
            namespace, _, name = entry["deployment"].partition("/")
            path = ("history", index)
            if self._check_exists((*path, "deployment"), "Deployment", namespace, name):
                self._check_container((*path, "container"), entry["container"], namespace, f"deployment/{name}")

    def _check_traffic(self, path: Path_, entry: Mapping[str, Any]) -> None:
        if "service" not in entry:
            return  # by host: whether an Ingress leads on is what may go wrong
        namespace, name = entry["namespace"], entry["service"]
        if not self._check_exists((*path, "service"), "Service", namespace, name):
            return
        service = self._inventory.find("Service", namespace, name)
        ports = [port.get("port") for port in (service or {}).get("spec", {}).get("ports") or ()]
        if ports and entry["port"] not in ports:
            there = ", ".join(str(port) for port in ports)
            self._problem((*path, "port"), f"Service {namespace}/{name} has no port {entry['port']}; it has {there}")

    def _check_policies(self) -> None:
        for index, policy in enumerate(self._data.get("policies", [])):
            if self._vocabulary.check_policy is not None:
                for reason in self._vocabulary.check_policy(policy):
                    self._problem(("policies", index), reason)

    # steps

    def _check_timeline(self) -> None:
        own = len(self._data.get("timeline", []))
        inherited = len(self._scenario.timeline) - own
        seen: dict[str, Step] = {step.id: step for step in self._scenario.timeline[:inherited]}
        for number, step in enumerate(self._scenario.timeline[inherited:]):
            path = ("timeline", number)
            if step.id in seen:
                self._problem((*path, "id"), f"the id {step.id!r} is used twice")
            if step.action == "remove":
                self._check_remove((*path, "remove"), step, seen)
            self._check_step(path, step)
            seen[step.id] = step

    def _check_remove(self, path: Path_, step: Step, seen: Mapping[str, Step]) -> None:
        removed = seen.get(step.body)
        if removed is None:
            faults = [s.id for s in seen.values() if s.action == "fault"]
            self._problem(path, f"remove: no step before this one has the id {step.body!r}{_close(step.body, faults)}")
        elif removed.action != "fault":
            self._problem(path, f"remove: the step {step.body!r} is no fault; undo a change with another change")
        elif removed.at_seconds > step.at_seconds:
            self._problem(path, f"remove: {step.body!r} is injected later, after {removed.at_seconds:g} s")

    def _check_step(self, path: Path_, step: Step) -> None:
        if step.action == "fault":
            self._check_fault(path, step)
            return
        if step.params:
            self._problem((*path, "params"), "params belong to a fault")
        if step.action in ("patch", "delete", "restart"):
            self._check_reference((*path, step.action), step.body, "name")
        elif step.action in ("drain", "uncordon"):
            self._check_exists((*path, step.action), "Node", "", step.body)
        elif step.action == "traffic":
            self._check_traffic((*path, "traffic"), step.body)

    def _check_fault(self, path: Path_, step: Step) -> None:
        params = step.params
        try:
            FaultInjector.check(step.body, params)
        except FaultError as error:
            unknown = next((name for name in params if f"no parameter {name!r}" in str(error)), "")
            wrong = next((name for name in params if str(error).startswith(f"{name}:")), "")
            where: Path_ = ("params", unknown or wrong) if unknown or wrong else ("params",)
            if str(error).startswith("no fault named"):
                where = ("fault",)
            self._problem((*path, *where), f"{error}{_close(step.body, _fault_names()) if where == ('fault',) else ''}")
            return
        at: Path_ = (*path, "params")
        namespace = str(params.get("namespace") or "")
        if params.get("workload"):
            self._check_workload(at, namespace, str(params["workload"]), str(params.get("container") or ""))
        if params.get("service"):
            self._check_exists((*at, "service"), "Service", namespace, str(params["service"]))
        if params.get("node"):
            self._check_exists((*at, "node"), "Node", "", str(params["node"]))
        if params.get("scope") and params["scope"] not in get_args(Scope):
            self._problem((*at, "scope"), f"scope: {params['scope']!r} is none of {', '.join(get_args(Scope))}")
        if step.body == "node-failure" and params.get("kind") and params["kind"] not in FAILURE_KINDS:
            self._problem((*at, "kind"), f"kind: {params['kind']!r} is none of {', '.join(FAILURE_KINDS)}")

    def _check_workload(self, path: Path_, namespace: str, text: str, container: str) -> None:
        kind, slash, name = text.partition("/")
        if namespace.startswith("kube-"):
            return
        if self._inventory.workload(namespace, name if slash else text, kind if slash else "") is None:
            there = [n for k in WORKLOADS for n in self._inventory.names(k, namespace)]
            reason = f"workload: no {text!r} in namespace {namespace!r}; there are {_listed(there)}"
            self._problem((*path, "workload"), reason)
        elif container:
            self._check_container((*path, "container"), container, namespace, text)

    def _check_container(self, path: Path_, container: str, namespace: str, workload: str) -> None:
        kind, slash, name = workload.partition("/")
        manifest = self._inventory.workload(namespace, name if slash else workload, kind if slash else "")
        if manifest is None:
            return
        there = [str(c.get("name")) for c in _containers(manifest)]
        if container not in there:
            self._problem(path, f"container: no {container!r} in {namespace}/{workload}; there are {_listed(there)}")

    # expectations

    def _check_expectations(self) -> None:
        entries = self._data.get("expectations", [])
        ids = {step.id for step in self._scenario.timeline}
        dealt_with = any(not expectation.healthy for expectation in self._scenario.expectations)
        for number, entry in enumerate(entries):
            path = ("expectations", number)
            if entry.get("healthy"):
                if dealt_with:
                    self._problem((*path, "healthy"), "healthy: true stands alone: nothing else may be expected")
                elif more := sorted(entry.keys() - {"healthy"}):
                    self._problem((*path, more[0]), f"{more[0]}: a healthy world expects nothing else")
                continue
            if entry["after"] not in ids:
                self._problem((*path, "after"), f"no step has the id {entry['after']!r}{_close(entry['after'], ids)}")
            self._check_expectation(path, entry)

    def _check_expectation(self, path: Path_, entry: Mapping[str, Any]) -> None:
        for index, cause in enumerate(entry.get("causes", ())):
            self._check_word((*path, "causes", index), "cause code", cause, self._vocabulary.causes)
        for field in ("fixes", "forbidden"):
            for index, action in enumerate(entry.get(field, ())):
                self._check_word((*path, field, index), "action", action, self._vocabulary.actions)
        for action in sorted({*entry.get("fixes", ())} & {*entry.get("forbidden", ())}):
            self._problem((*path, "forbidden"), f"{action!r} cannot be both a fix and forbidden")
        if entry.get("mustNotAct") and entry.get("fixes"):
            self._problem((*path, "fixes"), "fixes: mustNotAct says that no action is right")
        if entry.get("object"):
            self._check_reference((*path, "object"), entry["object"], "name", or_spoken_of=True)
        for index, reference in enumerate(entry.get("alsoAffected", ())):
            self._check_reference((*path, "alsoAffected", index), reference, "name", or_spoken_of=True)
        for index, raw in enumerate(entry.get("remedy", ())):
            self._check_remedy((*path, "remedy", index), parts.step(index, raw, "remedy"))
        self._check_well(path, entry.get("well", {}))

    def _check_remedy(self, path: Path_, step: Step) -> None:
        faults = [s.id for s in self._scenario.timeline if s.action == "fault"]
        if step.action == "remove" and step.body not in faults:
            self._problem((*path, "remove"), f"remove: no fault has the id {step.body!r}{_close(step.body, faults)}")
        self._check_step(path, step)

    def _check_well(self, path: Path_, well: Mapping[str, Any]) -> None:
        for index, text in enumerate(well.get("services", ())):
            namespace, _, name = text.partition("/")
            self._check_exists((*path, "well", "services", index), "Service", namespace, name)
        for index, text in enumerate(well.get("workloads", ())):
            namespace, _, name = text.partition("/")
            there = [n for k in MEASURED for n in self._inventory.names(k, namespace)]
            if not namespace.startswith("kube-") and name not in there:
                at = (*path, "well", "workloads", index)
                self._problem(at, f"there is no workload {text}; there are {_listed(there)}")

    # names

    def _check_word(self, path: Path_, what: str, word: str, known: frozenset[str] | None) -> None:
        if known is not None and word not in known:
            self._problem(path, f"there is no {what} {word!r}{_close(word, known)}")

    def _check_reference(
        self, path: Path_, reference: Mapping[str, Any], at: str, *, or_spoken_of: bool = False
    ) -> None:
        """``or_spoken_of``: a name that the world's objects refer to will do; it may be what is missing."""
        kind, name = str(reference["kind"]), str(reference.get("name") or "")
        if not name or (or_spoken_of and self._inventory.is_spoken_of(name)):
            return
        self._check_exists((*path, at), kind, str(reference.get("namespace") or ""), name)

    def _check_exists(self, path: Path_, kind: str, namespace: str, name: str) -> bool:
        if self._inventory.has(kind, namespace, name):
            return True
        there = self._inventory.names(kind, namespace)
        shown = f"{namespace}/{name}" if namespace else name
        hint = f"; there are {_listed(there)}" if there else ""
        self._problem(path, f"there is no {kind} {shown}{hint}")
        return False


def _containers(workload: Object) -> list[Object]:
    spec = workload.get("spec", {}).get("template", {}).get("spec", {})
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


def _fault_names() -> list[str]:
    return [str(entry["name"]) for entry in FaultInjector.available()]


def _close(word: str, known: Iterable[str]) -> str:
    """- did you mean that?"""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
