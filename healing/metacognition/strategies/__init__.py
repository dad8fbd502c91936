"""How each strategy would be carried out in a given case: its steps with their parameters.

A builder only reads. It raises `CannotPlan` where the strategy makes no sense; the message is kept for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from healing.metacognition.strategies import configuration, fixes, network, nodes, resources, states, volumes, workloads
from healing.metacognition.strategies.blueprint import Blueprint, Builder, Step
from healing.metacognition.strategies.completion import completed

__all__ = ["STRATEGIES", "Blueprint", "Builder", "Step", "completed"]

STRATEGIES: Mapping[str, Builder] = MappingProxyType(
    {
        "rollback": workloads.rollback,
        "restart": workloads.restart,
        "evict-pod": workloads.evict_pod,
        "scale-out": workloads.scale_out,
        "restore-replicas": workloads.restore_replicas,
        "resume-rollout": workloads.resume_rollout,
        "restore-resources": resources.restore_resources,
        "raise-memory": resources.raise_limit("memory"),
        "raise-cpu": resources.raise_limit("cpu"),
        "restore-references": configuration.restore_references,
        "restore-keys": configuration.restore_keys,
        "restore-values": configuration.restore_values,
        "restore-object": states.restore_object,
        "recreate-missing": states.recreate_missing,
        "fix-probe": fixes.fix_probe,
        "restore-probe": fixes.restore_probe,
        "restore-placement": fixes.restore_placement,
        "raise-quota": fixes.raise_quota,
        "expand-volume": fixes.expand_volume,
        "rebind-volume": volumes.rebind_volume,
        "fix-protocol": network.fix_protocol,
        "delete-stuck-pods": nodes.delete_stuck_pods,
        "drain": nodes.drain,
        "fix-selector": network.fix_selector,
        "fix-target-port": network.fix_target_port,
        "restart-dependency": network.restart_dependency,
        "rollback-dependency": lambda case: workloads.rollback(case, network.dependency(case)),
        "scale-out-dependency": lambda case: workloads.scale_out(case, network.dependency(case)),
        "move-pods": nodes.move_pods,
        "restart-on-node": nodes.restart_on_node,
        "uncordon": nodes.uncordon,
    }
)
