"""The kubelets: what turns a pod bound to a node into running processes and a status."""

from healing.sandbox.world.kubelet.fleet import Fleet

__all__ = ["Fleet"]
