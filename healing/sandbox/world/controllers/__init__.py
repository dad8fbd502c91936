"""One controller a file, as kube-controller-manager has them."""

from __future__ import annotations

from healing.sandbox.world.controllers.autoscaler import AutoscalerController
from healing.sandbox.world.controllers.claims import ClaimController
from healing.sandbox.world.controllers.cronjob import CronJobController
from healing.sandbox.world.controllers.daemonset import DaemonSetController
from healing.sandbox.world.controllers.deployment import DeploymentController
from healing.sandbox.world.controllers.disruption import DisruptionController
from healing.sandbox.world.controllers.endpoints import EndpointsController
from healing.sandbox.world.controllers.endpointslice import EndpointSliceController
from healing.sandbox.world.controllers.gateway import GatewayController
from healing.sandbox.world.controllers.job import JobController
from healing.sandbox.world.controllers.namespaces import NamespaceDefaultsController
from healing.sandbox.world.controllers.node_lifecycle import NodeLifecycleController
from healing.sandbox.world.controllers.replicaset import ReplicaSetController
from healing.sandbox.world.controllers.resource_quota import ResourceQuotaController
from healing.sandbox.world.controllers.statefulset import StatefulSetController
from healing.sandbox.world.controllers.taint_eviction import TaintEvictionController
from healing.sandbox.world.reconciler import Reconciler

CONTROLLERS: tuple[type[Reconciler], ...] = (
    NamespaceDefaultsController,
    DeploymentController,
    ReplicaSetController,
    EndpointSliceController,
    EndpointsController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    CronJobController,
    ClaimController,
    AutoscalerController,
    DisruptionController,
    ResourceQuotaController,
    NodeLifecycleController,
    TaintEvictionController,
    GatewayController,
)
