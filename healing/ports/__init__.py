"""What the healing loop needs from the outside, as protocols. Adapters implement them; nothing here imports them."""

from healing.ports.bundle import Ports, get_ports
from healing.ports.cluster import Cluster, ObjectRef
from healing.ports.logs import Logs
from healing.ports.metrics import Metrics

__all__ = ["Cluster", "Logs", "Metrics", "ObjectRef", "Ports", "get_ports"]
