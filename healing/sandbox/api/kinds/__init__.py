"""Defaults and checks, kind by kind."""

from __future__ import annotations

from healing.sandbox.api.crd_check import check_definition
from healing.sandbox.api.crd_rules import (
    check_definition_update,
    default_definition,
    prepare_definition,
)
from healing.sandbox.api.kinds import core, others, pods, quotas, workloads
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.rules import Rules
from healing.sandbox.api.webhooks import CONFIGURATIONS, default_configuration

KIND_RULES: dict[str, Rules] = {
    "pods": Rules(pods.default_pod, pods.prepare_pod, pods.prepare_pod_update, pods.check_pod, pods.check_pod_update),
    "services": Rules(
        core.default_service,
        core.prepare_service,
        core.prepare_service_update,
        core.check_service,
        core.check_service_update,
        name_format="label1035",
    ),
    "configmaps": Rules(check=core.check_configmap, check_update=core.check_immutable_data),
    "secrets": Rules(core.default_secret, check=core.check_secret, check_update=core.check_secret_update),
    "persistentvolumeclaims": Rules(
        core.default_claim, core.prepare_claim, check=core.check_claim, check_update=core.check_claim_update
    ),
    "persistentvolumes": Rules(others.default_volume, others.prepare_volume, check=others.check_claim_reference),
    "resourcequotas": Rules(quotas.default_quota, core.empty_status, check=quotas.check_quota),
    "limitranges": Rules(quotas.default_limit_range),
    "namespaces": Rules(
        core.default_namespace, core.prepare_namespace, core.prepare_namespace_update, name_format="label"
    ),
    "nodes": Rules(prepare_create=core.prepare_node, check=core.check_node),
    "events": Rules(others.default_event, check=others.check_event),
    "deployments.apps": Rules(
        workloads.default_deployment,
        core.empty_status,
        check=workloads.check_deployment,
        check_update=workloads.selector_immutable,
    ),
    "replicasets.apps": Rules(
        workloads.default_replicaset,
        lambda obj: obj.__setitem__("status", {"replicas": 0}),
        check=workloads.check_replicaset,
        check_update=workloads.selector_immutable,
    ),
    "statefulsets.apps": Rules(
        workloads.default_statefulset,
        lambda obj: obj.__setitem__("status", {"replicas": 0, "availableReplicas": 0}),
        check=workloads.check_statefulset,
        check_update=workloads.check_statefulset_update,
    ),
    "daemonsets.apps": Rules(
        workloads.default_daemonset,
        workloads.prepare_daemonset,
        check=workloads.check_daemonset,
        check_update=workloads.selector_immutable,
    ),
    "jobs.batch": Rules(
        workloads.default_job,
        workloads.prepare_job,
        check=workloads.check_job,
        check_update=workloads.check_job_update,
    ),
    "cronjobs.batch": Rules(workloads.default_cronjob, core.empty_status, check=workloads.check_cronjob),
    "horizontalpodautoscalers.autoscaling": Rules(
        others.default_autoscaler, others.prepare_autoscaler, check=others.check_autoscaler
    ),
    "poddisruptionbudgets.policy": Rules(prepare_create=others.prepare_budget, check=others.check_budget),
    "networkpolicies.networking.k8s.io": Rules(others.default_network_policy, check=others.check_network_policy),
    "ingresses.networking.k8s.io": Rules(others.default_ingress, others.prepare_ingress, check=others.check_ingress),
    "leases.coordination.k8s.io": Rules(check=others.check_lease),
    "endpointslices.discovery.k8s.io": Rules(others.default_endpoint_slice, check=others.check_endpoint_slice),
    "storageclasses.storage.k8s.io": Rules(others.default_storage_class, check=others.check_storage_class),
    "customresourcedefinitions.apiextensions.k8s.io": Rules(
        default_definition, prepare_definition, check=check_definition, check_update=check_definition_update
    ),
    **dict.fromkeys(CONFIGURATIONS, Rules(default_configuration)),
    "priorityclasses.scheduling.k8s.io": Rules(others.default_priority_class),
    "roles.rbac.authorization.k8s.io": Rules(check=others.check_role, name_format="path"),
    "clusterroles.rbac.authorization.k8s.io": Rules(check=others.check_role, name_format="path"),
    "rolebindings.rbac.authorization.k8s.io": Rules(
        others.default_binding, check=others.check_binding, check_update=others.check_binding_update, name_format="path"
    ),
    "clusterrolebindings.rbac.authorization.k8s.io": Rules(
        others.default_binding, check=others.check_binding, check_update=others.check_binding_update, name_format="path"
    ),
}

_NO_RULES = Rules()


def rules_for(resource: ResourceType) -> Rules:
    """The rules of a built-in kind; custom resources have none of these."""
    return _NO_RULES if resource.custom is not None else KIND_RULES.get(resource.storage, _NO_RULES)
