"""What the healing loop is connected to. Code of ours reads these settings, never the environment itself."""

from recist_web.settings.base import _ENV

# Dotted path of a callable `(cluster_name: str) -> healing.ports.Ports`; tests may name another.
HEALING_PORTS_FACTORY = "recist_web.composition.build_ports"

CLUSTER_NAME = _ENV.CLUSTER_NAME
KUBECONFIG = _ENV.KUBECONFIG
KUBE_CONTEXT = _ENV.KUBE_CONTEXT
POD_NAMESPACE = _ENV.POD_NAMESPACE
# Where SelfHealingPolicy resources count; empty: everywhere.
POLICY_NAMESPACES = tuple(_ENV.POLICY_NAMESPACES)
PROMETHEUS_URL = _ENV.PROMETHEUS_URL
LOKI_URL = _ENV.LOKI_URL

QDRANT_URL = _ENV.QDRANT_URL
QDRANT_API_KEY = _ENV.QDRANT_API_KEY.get_secret_value() if _ENV.QDRANT_API_KEY else None
# A directory: Qdrant runs inside the knowledge worker instead of as a server. One process may own it.
QDRANT_PATH = _ENV.QDRANT_PATH

LLM_MODEL = _ENV.LLM_MODEL
LLM_API_KEY = _ENV.LLM_API_KEY.get_secret_value() if _ENV.LLM_API_KEY else None
LLM_BASE_URL = _ENV.LLM_BASE_URL
