"""Objects as another version of Kubernetes keeps them: what it does not have is taken out before it is stored."""

from __future__ import annotations

from dataclasses import dataclass

from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.schema import Type, model_type
from healing.sandbox.api.versions import KubernetesVersion
from healing.sandbox.ports import Object

#: whose labels the server and controllers write
_LABELLED = frozenset({"pods", "jobs.batch"})


@dataclass(slots=True)
class _Plan:
    """What is done below one value: only paths that lead to something."""

    #: fields that are taken out
    dropped: frozenset[str]
    inside: dict[str, _Plan]
    #: the type of the entries, if some of them are taken out of their list
    conditions: str = ""


class Pruner:
    """For one version; what is done to each type is found out once."""

    def __init__(self, version: KubernetesVersion) -> None:
        self._version = version
        self._unkept = version.unkept_fields
        self._conditions = version.models_with_later_conditions
        self._labels = version.later_labels
        self._plans: dict[str, _Plan | None] = {}

    def prune(self, resource: ResourceType, obj: Object) -> None:
        """Take out of a built-in object, in place, the fields and conditions that this version does not keep."""
        if resource.custom is None and resource.model and (plan := self._plan(model_type(resource.model))):
            self._apply(plan, obj)

    def relabel(self, resource: ResourceType, obj: Object) -> None:
        """Take the labels that this version does not write out of a new pod or Job, its template and its selector."""
        if not self._labels or resource.storage not in _LABELLED:
            return
        spec = obj.get("spec") or {}
        template = (spec.get("template") or {}).get("metadata") or {}
        for labels in (obj["metadata"].get("labels") or {}, template.get("labels") or {}):
            for label in self._labels.keys() & labels.keys():
                del labels[label]
        selector = (spec.get("selector") or {}).get("matchLabels") or {}
        for label in self._labels.keys() & selector.keys():
            value = selector.pop(label)
            if before := self._labels[label]:
                selector[before] = value

    def _plan(self, kind: Type) -> _Plan | None:
        if kind.kind == "list":
            return self._plan(kind.element) if kind.element else None
        if kind.kind != "struct" or not kind.model:
            return None
        if kind.model not in self._plans:
            self._plans[kind.model] = None  # a type inside itself leads nowhere new
            dropped = frozenset(field for field in kind.fields if (kind.model, field) in self._unkept)
            below = {name: self._plan(child) for name, child in kind.fields.items() if name not in dropped}
            inside = {name: plan for name, plan in below.items() if plan is not None}
            conditions = kind.model if kind.model in self._conditions else ""
            if dropped or inside or conditions:
                self._plans[kind.model] = _Plan(dropped, inside, conditions)
        return self._plans[kind.model]

    def _apply(self, plan: _Plan, value: object) -> None:
        if isinstance(value, list):
            if plan.conditions and not all(self._version.writes_condition(plan.conditions, item) for item in value):
                value[:] = [item for item in value if self._version.writes_condition(plan.conditions, item)]
            for item in value:
                self._apply(plan, item)
        elif isinstance(value, dict):
            for field in plan.dropped & value.keys():
                del value[field]
            for name, inside in plan.inside.items():
                if value.get(name):
                    self._apply(inside, value[name])
