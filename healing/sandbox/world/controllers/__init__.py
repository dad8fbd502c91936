"""One controller a file, as kube-controller-manager has them."""

from __future__ import annotations

from healing.sandbox.world.controllers.deployment import DeploymentController
from healing.sandbox.world.controllers.endpoints import EndpointsController
from healing.sandbox.world.controllers.endpointslice import EndpointSliceController
from healing.sandbox.world.controllers.namespaces import NamespaceDefaultsController
from healing.sandbox.world.controllers.replicaset import ReplicaSetController
from healing.sandbox.world.reconciler import Reconciler

CONTROLLERS: tuple[type[Reconciler], ...] = (
    NamespaceDefaultsController,
    DeploymentController,
    ReplicaSetController,
    EndpointSliceController,
    EndpointsController,
)
