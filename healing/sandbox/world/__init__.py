"""The sandbox's world: controllers, scheduler, kubelets and the life of nodes.

Everything here changes objects only through `healing.sandbox.ports.Cluster`.
"""

from healing.sandbox.world.context import Settings
from healing.sandbox.world.nodes import NodeHandle, NodeSpec
from healing.sandbox.world.world import World

__all__ = ["NodeHandle", "NodeSpec", "Settings", "World"]
