"""Update config: put configuration back to what is known to have worked. No value is ever made up here.

Two honest ways, by the kind of the target:

- a workload: its containers' ``env``, ``envFrom`` and configuration volumes become those of an earlier revision again
  (image, resources and the rest stay as they are now);
- a ConfigMap: keys that are missing get the value they had, from a source that `healing.actions.known_good` can name.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from healing.actions import known_good, operations, revisions, template_fix
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import managed_by
from healing.actions.reading import WORKLOAD_KINDS, Workload, get, list_if_allowed
from healing.actions.template_patch import diff
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef

_CONFIG_VOLUMES = ("configMap", "secret", "projected")


class UpdateConfigParameters(Parameters):
    """For a workload: ``fromRevision`` (0: the last good one). For a ConfigMap: the ``keys`` to restore;
    ``overwrite``: also those that are there with another value."""

    from_revision: int = Field(0, ge=0)
    keys: tuple[str, ...] = Field((), max_length=50)
    overwrite: bool = False


class UpdateConfig(Action[UpdateConfigParameters]):
    """Restores configuration: references and environment of a workload, or keys of a ConfigMap."""

    name = ActionName.UPDATE_CONFIG
    title = "Restore configuration"
    kinds = WORKLOAD_KINDS | {"ConfigMap"}
    permissions: ClassVar = (
        *template_fix.PERMISSIONS,
        *((verb, "ConfigMap") for verb in ("get", "list", "patch")),
    )
    parameters = UpdateConfigParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: UpdateConfigParameters, *, timeout_seconds: float
    ) -> Plan:
        if target.kind == "ConfigMap":
            return self._restore_keys(cluster, target, parameters, timeout_seconds)
        return self._restore_references(cluster, target, parameters, timeout_seconds)

    def _restore_references(
        self, cluster: Cluster, target: ObjectRef, parameters: UpdateConfigParameters, timeout_seconds: float
    ) -> Plan:
        workload = template_fix.read(cluster, target, timeout_seconds)
        source = template_fix.source(cluster, workload, parameters.from_revision, timeout_seconds)
        before = revisions.without_hash(workload.template)
        after = with_config_of(before, source.template)
        if not diff(workload.ref, "spec.template", before, after):
            raise CannotPlan(f"The configuration of {target} is that of revision {source.number} already.")
        missing = revisions.missing_references(cluster, workload.ref.namespace, after, timeout_seconds=timeout_seconds)
        if missing:
            raise CannotPlan(f"With the configuration of revision {source.number} it would not start: {missing[0]}.")
        return template_fix.plan(
            cluster,
            workload,
            after,
            action=self.name,
            summary=f"Give {workload.ref} the configuration of revision {source.number} again; the rest stays.",
            found={"fromRevision": source.number},
            risk=(
                (Risk.LOW, "No replica serves now; nothing can be lost.")
                if workload.ready == 0
                else (Risk.MEDIUM, "Former configuration with the present image: that pair has not run before.")
            ),
            undo_summary=f"{workload.ref} has its configuration of before again.",
            parameters=parameters.model_dump(mode="json", by_alias=True),
            timeout_seconds=timeout_seconds,
        )

    def _restore_keys(
        self, cluster: Cluster, target: ObjectRef, parameters: UpdateConfigParameters, timeout_seconds: float
    ) -> Plan:
        config_map = get(cluster, target, timeout_seconds=timeout_seconds)
        ref, held = ObjectRef.of(config_map, "ConfigMap"), config_map.get("data") or {}
        if config_map.get("immutable"):
            raise CannotPlan(f"{ref} is immutable.")
        wanted = [key for key in parameters.keys if parameters.overwrite or key not in held]
        if not wanted:
            raise CannotPlan(f"{ref} lacks none of the keys.")
        values: dict[str, known_good.KnownValue] = {}
        for key in wanted:
            found = known_good.value_of(cluster, config_map, key, timeout_seconds=timeout_seconds)
            if found is None:
                raise CannotPlan(f"Nobody remembers what {key} of {ref} was; a person has to say it.")
            values[key] = found
        sources = "; ".join(dict.fromkeys(v.source for v in values.values()))
        users = _users(cluster, ref, timeout_seconds)
        risk, reason = _risk_of_keys(values, held, users)
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Restore {', '.join(values)} of {ref} from {sources}.",
            changes=tuple(Change(ref, f"data[{key}]", held.get(key), found.value) for key, found in values.items()),
            operations=(operations.patch(ref, {"data": {key: found.value for key, found in values.items()}}),),
            pre_state={"undo": [operations.patch(ref, {"data": {key: held.get(key) for key in values}})]},
            risk=risk,
            risk_reason=reason,
            reversible=True,
            undo_summary=f"{', '.join(values)} of {ref}: as before again.",
            blast_radius=BlastRadius(pods=sum(w.desired for w in users), managed_by=managed_by(config_map)),
            parameters=parameters.model_dump(mode="json", by_alias=True),
        )


def _users(cluster: Cluster, ref: ObjectRef, timeout_seconds: float) -> list[Workload]:
    """The workloads whose pods cannot start without the ConfigMap."""
    found = []
    for kind in sorted(WORKLOAD_KINDS):
        for obj in list_if_allowed(cluster, kind, ref.namespace, timeout_seconds=timeout_seconds) or ():
            workload = Workload.of(obj, kind)
            if any((k, n) == ("ConfigMap", ref.name) for k, n, _ in revisions.references(workload.template)):
                found.append(workload)
    return found


def _risk_of_keys(
    values: Mapping[str, known_good.KnownValue], held: Mapping[str, str], users: list[Workload]
) -> tuple[Risk, str]:
    if values.keys() & held.keys():
        return Risk.MEDIUM, "Replaces a value that is there now."
    if not all(v.is_same_object for v in values.values()):
        return Risk.MEDIUM, "Takes the value from another object."
    if len(users) > 1:
        names = ", ".join(w.ref.name for w in users)
        return Risk.MEDIUM, f"Several workloads use this ConfigMap: {names}."
    return Risk.LOW, "Adds keys that were there before; present values stay."


def with_config_of(template: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """``template`` with the environment and configuration volumes of ``source``, container by container."""
    result = copy.deepcopy(dict(template))
    spec, former = result["spec"], source["spec"]
    for part in ("initContainers", "containers"):
        by_name = {c["name"]: c for c in former.get(part) or ()}
        for container in spec.get(part) or ():
            if container["name"] in by_name:
                _take(container, by_name[container["name"]], ("env", "envFrom"))
    kept = {v["name"]: v for v in former.get("volumes") or ()}
    volumes = [
        copy.deepcopy(kept[v["name"]]) if v["name"] in kept and _is_config(kept[v["name"]]) and _is_config(v) else v
        for v in spec.get("volumes") or ()
    ]
    if volumes:
        spec["volumes"] = volumes
    return result


def _take(into: dict[str, Any], source: Mapping[str, Any], fields: tuple[str, ...]) -> None:
    for name in fields:
        if name in source:
            into[name] = copy.deepcopy(source[name])
        else:
            into.pop(name, None)


def _is_config(volume: Mapping[str, Any]) -> bool:
    return any(kind in volume for kind in _CONFIG_VOLUMES)
