"""Release: end an isolation. A pod that was replaced meanwhile is removed, any other gets its traffic back."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from healing.actions import operations
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.isolate import labelled_again, labels_taken, policy_name
from healing.actions.labels import QUARANTINE
from healing.actions.operations import Operation
from healing.actions.reading import controller_of
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef
from healing.ports.errors import NotFound


class ReleaseParameters(Parameters):
    """``labels``: those that the pod had before; empty: what the isolation has written on the pod."""

    event: str = Field(min_length=1, max_length=63)
    labels: dict[str, str | None] = Field(default_factory=dict)


class Release(Action[ReleaseParameters]):
    """The target is the isolated pod; it need not exist any more: its NetworkPolicy goes all the same."""

    name = ActionName.RELEASE
    title = "End the isolation"
    kinds = frozenset({"Pod"})
    permissions: ClassVar = (
        ("delete", "NetworkPolicy"),
        ("get", "Pod"),
        ("patch", "Pod"),
        ("delete", "Pod"),
    )
    parameters = ReleaseParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: ReleaseParameters, *, timeout_seconds: float
    ) -> Plan:
        policy = ObjectRef("NetworkPolicy", target.namespace, policy_name(parameters.event, target.name))
        steps: list[Operation] = []
        changes: list[Change] = []
        undo_summary = "An isolation is not taken up again by itself."
        pod = self._pod(cluster, target, timeout_seconds)
        if pod is None:
            summary = f"{target} has gone; its NetworkPolicy is removed."
        elif (pod["metadata"].get("labels") or {}).get(QUARANTINE) != parameters.event:
            raise CannotPlan(f"{target} is not isolated by event {parameters.event} any more.")
        elif controller_of(pod) is None:
            steps.append(operations.delete(target))
            changes.append(Change(target, "", "detached", "removed"))
            summary = f"Remove {target}: a new pod has taken its place."
        else:
            steps.append(operations.patch(target, labelled_again(parameters.labels or labels_taken(pod))))
            changes.append(Change(target, f"metadata.labels[{QUARANTINE}]", parameters.event, None))
            summary = f"{target} gets traffic again."
        return Plan(
            action=self.name,
            target=target,
            generation=0,
            summary=summary,
            changes=(*changes, Change(policy, "", "exists", None)),
            operations=(*steps, operations.delete(policy)),
            pre_state={},
            risk=Risk.LOW,
            risk_reason="Ends something of ours.",
            reversible=False,
            undo_summary=undo_summary,
            blast_radius=BlastRadius(pods=1),
            parameters=parameters.model_dump(by_alias=True),
        )

    def _pod(self, cluster: Cluster, target: ObjectRef, timeout_seconds: float) -> dict[str, Any] | None:
        try:
            pod = cluster.get("Pod", target.namespace, target.name, timeout_seconds=timeout_seconds)
        except NotFound:
            return None
        same = not target.uid or pod["metadata"].get("uid") == target.uid
        return pod if same and "deletionTimestamp" not in pod["metadata"] else None
