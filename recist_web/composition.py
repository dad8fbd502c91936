"""Joins ports and adapters: the only place that knows which adapter stands behind which port.

Adapters are imported inside the functions: the web process joins only what it uses, and never loads litellm,
qdrant-client or an embedding model (tests/wiring/test_light_web.py).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from healing.ports import Ports


def build_ports(cluster_name: str) -> "Ports":
    """The ports of the cluster called `cluster_name`, from the settings."""
    raise NotImplementedError(f"no adapters yet for cluster {cluster_name}")
