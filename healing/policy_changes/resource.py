"""A policy's resource in the cluster: server-side apply of what changed, and nothing else."""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from healing.actions.ownership import managed_by
from healing.policies import ownership
from healing.policies.difference import Path, leaves, put, value_at
from healing.policies.sections import place_in
from healing.policies.spec import PolicySpec
from healing.policy_changes.errors import ClusterAway, ClusterRefused, Conflicts, Gone, NameTaken, ReadOnly
from healing.ports import get_ports
from healing.ports.cluster import Cluster, Object
from healing.ports.errors import BadResponse, Conflict, Forbidden, NotFound, RateLimited, SourceError, Unavailable

KIND = "SelfHealingPolicy"
_SECONDS = 5.0
_TRIES = 5
_NO_TYPE = "the server could not find the requested resource"


class NoSuchType(Exception):
    """The cluster does not know SelfHealingPolicies: its CRD is not installed."""


def read(cluster_name: str, namespace: str, name: str) -> Object:
    """The live resource. Raises `Gone`, `ClusterAway`, `ClusterRefused`."""
    try:
        return _cluster(cluster_name).get(KIND, namespace, name, timeout_seconds=_SECONDS)
    except SourceError as error:
        raise _refusal(error, cluster_name, "read") from error


def wanted_fields(live: Object, spec: PolicySpec) -> dict[Path, Any]:
    """What has to be written so that the resource says ``spec``: path as it is written there -> value."""
    written = live.get("spec") or {}
    target = spec.as_json()
    try:
        now = PolicySpec.model_validate(written).as_json()
    except ValidationError:
        now = None
    default = dict(leaves(PolicySpec(target_namespaces=["default"]).as_json()))
    wanted: dict[Path, Any] = {}
    for path, value in leaves(target):
        place = place_in(written, path)
        if now is not None:
            differs = value_at(now, path) != value
        else:  # it cannot be read as a whole: field by field
            found = value_at(written, place, default.get(path))
            differs = found != value
        if differs:
            wanted[place] = value
    return wanted


def write(
    cluster_name: str, live: Object, spec: PolicySpec, *, person: str, take_over: Collection[str] = ()
) -> tuple[Object, list[ownership.FieldConflict]]:
    """Apply the difference; returns (the resource afterwards, what was taken over from whom).

    ``take_over``: dotted fields that the person takes from their managers. Raises `ChangeRefused`.
    """
    cluster, meta = _cluster(cluster_name), live["metadata"]
    generation = meta.get("generation")
    for _ in range(_TRIES):
        owner = managed_by(live)
        if owner:
            raise ReadOnly(where_to_edit(owner))
        wanted = wanted_fields(live, spec)
        _check_result(live, wanted, spec)
        if not wanted:
            return live, []
        found = ownership.conflicts(live, wanted)
        if any(conflict.field not in take_over for conflict in found):
            raise Conflicts(found)
        body = ownership.apply_body(live, wanted, person)
        force = bool(found) or ownership.was_updated_by_us(live)
        if force:  # it takes whatever is in the way: only in the very state that was looked at
            body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        try:
            after = cluster.patch(
                KIND,
                meta.get("namespace") or "",
                meta["name"],
                body,
                patch_type="apply",
                force=force,
                timeout_seconds=_SECONDS,
            )
        except Conflict as error:  # its status was written, or somebody has changed a field this moment
            live = read(cluster_name, meta.get("namespace") or "", meta["name"])
            if live["metadata"]["uid"] != meta["uid"] or live["metadata"].get("generation") != generation:
                raise ClusterRefused("Somebody changed the resource this moment: look at it and try again.") from error
            problem = str(error)
        except SourceError as error:
            raise _refusal(error, cluster_name, "change") from error
        else:
            return after, found
    raise ClusterRefused(f"The cluster refused the change: {problem}")


def create(cluster_name: str, namespace: str, name: str, spec: PolicySpec, *, person: str) -> Object:
    """Apply a new resource. Raises `ChangeRefused`, or `NoSuchType`."""
    cluster = _cluster(cluster_name)
    try:
        cluster.get(KIND, namespace, name, timeout_seconds=_SECONDS)
    except NotFound as error:
        if _NO_TYPE in str(error):
            raise NoSuchType from error
    except SourceError as error:
        raise _refusal(error, cluster_name, "read") from error
    else:
        raise NameTaken("The cluster has a SelfHealingPolicy of that name already: change that one.")
    defaults = dict(leaves(PolicySpec(target_namespaces=["default"]).as_json()))
    written: dict[str, Any] = {}
    for path, value in leaves(spec.as_json()):
        if path == ("targetNamespaces",) or defaults.get(path) != value:
            put(written, path, value)
    body = {
        "metadata": {"name": name, "namespace": namespace, "annotations": {ownership.CHANGED_BY: person}},
        "spec": written,
    }
    try:
        return cluster.patch(KIND, namespace, name, body, patch_type="apply", timeout_seconds=_SECONDS)
    except SourceError as error:
        if isinstance(error, NotFound):
            raise ClusterRefused(f"There is no namespace {namespace} in the cluster to keep the policy in.") from error
        raise _refusal(error, cluster_name, "make") from error


def delete(cluster_name: str, namespace: str, name: str, uid: str) -> None:
    """Gone already is fine. Raises `ChangeRefused`."""
    try:
        _cluster(cluster_name).delete(KIND, namespace, name, uid=uid, timeout_seconds=_SECONDS)
    except NotFound:
        return
    except SourceError as error:
        raise _refusal(error, cluster_name, "delete") from error


def where_to_edit(owner: str) -> str:
    """For people who meet a policy that a GitOps tool owns."""
    return (
        f"This policy is managed by {owner}, which would put back a change made here. "
        "Change it in the repository that it comes from."
    )


def _check_result(live: Object, wanted: dict[Path, Any], spec: PolicySpec) -> None:
    """Another name of a field in the resource may say something else than what is about to be written."""
    result = deepcopy(live.get("spec") or {})
    for path, value in wanted.items():
        put(result, path, value)
    try:
        read_back = PolicySpec.model_validate(result)
    except ValidationError as error:
        raise ClusterRefused(
            f"The resource says something that stands in the way: {error.errors()[0]['msg']}."
        ) from error
    if read_back != spec:
        raise ClusterRefused(
            "The resource says the same thing under another name (such as notifications.slackWebhook), which a change "
            "made here cannot take away. Change it with kubectl edit shp."
        )


def _cluster(cluster_name: str) -> Cluster:
    try:
        return get_ports(cluster_name).cluster
    except LookupError as error:
        raise ClusterAway(str(error)) from error


def _refusal(error: SourceError, cluster_name: str, verb: str) -> Exception:
    if isinstance(error, Unavailable | RateLimited | BadResponse):
        return ClusterAway(
            f"Cluster {cluster_name} does not answer, so nothing was changed. Try again when it does. ({error})"
        )
    if isinstance(error, NotFound):
        return Gone("The policy's resource is gone from the cluster.")
    if isinstance(error, Forbidden):
        return ClusterRefused(
            f"ReCiSt may not {verb} this resource in the cluster: {error} "
            "Give its ServiceAccount the verbs create, patch and delete on selfhealingpolicies, or use kubectl."
        )
    return ClusterRefused(f"The cluster refused it: {error}")
