"""Which columns each built-in kind has."""

from __future__ import annotations

from healing.sandbox.api.tables import cluster, network, storage, workloads
from healing.sandbox.api.tables.columns import Layout, parse_columns
from healing.sandbox.api.tables.pods import PODS

_BINDING_COLUMNS = parse_columns("Name, Role, Age, Users!, Groups!, ServiceAccounts!")

_ROLE_COLUMNS = parse_columns("Name, Created At:date")

LAYOUTS: dict[str, Layout] = {
    "pods": PODS,
    "deployments.apps": Layout(
        parse_columns("Name, Ready, Up-to-date, Available, Age, Containers!, Images!, Selector!"), workloads.deployment
    ),
    "replicasets.apps": Layout(
        parse_columns("Name, Desired:integer, Current:integer, Ready:integer, Age, Containers!, Images!, Selector!"),
        workloads.replicaset,
    ),
    "replicationcontrollers": Layout(
        parse_columns("Name, Desired:integer, Current:integer, Ready:integer, Age, Containers!, Images!, Selector!"),
        workloads.replicaset,
    ),
    "statefulsets.apps": Layout(parse_columns("Name, Ready, Age, Containers!, Images!"), workloads.statefulset),
    "daemonsets.apps": Layout(
        parse_columns(
            "Name, Desired:integer, Current:integer, Ready:integer, "
            "Up-to-date:integer, Available:integer, "
            "Node Selector, Age, Containers!, Images!, Selector!"
        ),
        workloads.daemonset,
    ),
    "jobs.batch": Layout(
        parse_columns("Name, Status, Completions, Duration, Age, Containers!, Images!, Selector!"), workloads.job
    ),
    "cronjobs.batch": Layout(
        parse_columns(
            "Name, Schedule, Timezone, Suspend:boolean, Active:integer, Last "
            "Schedule, Age, Containers!, Images!, Selector!"
        ),
        workloads.cronjob,
    ),
    "services": Layout(parse_columns("Name, Type, Cluster-IP, External-IP, Port(s), Age, Selector!"), network.service),
    "endpoints": Layout(parse_columns("Name, Endpoints, Age"), network.endpoints),
    "endpointslices.discovery.k8s.io": Layout(
        parse_columns("Name, AddressType, Ports, Endpoints, Age"), network.endpoint_slice
    ),
    "nodes": Layout(
        parse_columns(
            "Name, Status, Roles, Age, Version, Internal-IP!, External-IP!, "
            "OS-Image!, Kernel-Version!, Container-Runtime!"
        ),
        cluster.node,
    ),
    "events": Layout(
        parse_columns("Last Seen, Type, Reason, Object, Subobject!, Source!, Message, First Seen!, Count!, Name!"),
        cluster.event,
    ),
    "namespaces": Layout(parse_columns("Name, Status, Age"), cluster.namespace),
    "configmaps": Layout(parse_columns("Name, Data, Age"), storage.configmap),
    "secrets": Layout(parse_columns("Name, Type, Data, Age"), storage.secret),
    "serviceaccounts": Layout(parse_columns("Name, Age"), cluster.name_and_age),
    "persistentvolumeclaims": Layout(
        parse_columns(
            "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, VolumeMode!"
        ),
        storage.claim,
    ),
    "persistentvolumes": Layout(
        parse_columns(
            "Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, "
            "StorageClass, VolumeAttributesClass, Reason, Age, "
            "VolumeMode!"
        ),
        storage.volume,
    ),
    "resourcequotas": Layout(parse_columns("Name, Request, Limit, Age"), cluster.quota),
    "leases.coordination.k8s.io": Layout(parse_columns("Name, Holder, Age"), cluster.lease),
    "networkpolicies.networking.k8s.io": Layout(parse_columns("Name, Pod-Selector, Age"), network.network_policy),
    "ingresses.networking.k8s.io": Layout(parse_columns("Name, Class, Hosts, Address, Ports, Age"), network.ingress),
    "poddisruptionbudgets.policy": Layout(
        parse_columns("Name, Min Available, Max Unavailable, Allowed Disruptions:integer, Age"), workloads.budget
    ),
    "horizontalpodautoscalers.autoscaling": Layout(
        parse_columns("Name, Reference, Targets, MinPods, MaxPods, Replicas, Age"), workloads.autoscaler
    ),
    "storageclasses.storage.k8s.io": Layout(
        parse_columns("Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age"),
        storage.storage_class,
    ),
    "roles.rbac.authorization.k8s.io": Layout(_ROLE_COLUMNS, cluster.role),
    "clusterroles.rbac.authorization.k8s.io": Layout(_ROLE_COLUMNS, cluster.role),
    "rolebindings.rbac.authorization.k8s.io": Layout(_BINDING_COLUMNS, cluster.binding),
    "clusterrolebindings.rbac.authorization.k8s.io": Layout(_BINDING_COLUMNS, cluster.binding),
    "priorityclasses.scheduling.k8s.io": Layout(
        parse_columns("Name, Value:integer, Global-Default:boolean, Age, PreemptionPolicy"), cluster.priority_class
    ),
    "controllerrevisions.apps": Layout(parse_columns("Name, Controller, Revision:integer, Age"), workloads.revision),
}
