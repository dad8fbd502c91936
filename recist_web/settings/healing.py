"""What the healing loop is connected to. Code of ours reads these settings, never the environment itself."""

from urllib.parse import urlsplit

from healing.safe_http import Allowed
from recist_web import clusters
from recist_web.settings.base import _ENV

# Dotted path of a callable `(cluster_name: str) -> healing.ports.Ports`; tests may name another.
HEALING_PORTS_FACTORY = "recist_web.composition.build_ports"

# By name, in the file's order: recist_web.clusters.ClusterTarget. CLUSTER_NAME is the default one of them.
_CLUSTERS = clusters.of(_ENV)
CLUSTERS = _CLUSTERS.by_name
CLUSTER_NAME = _CLUSTERS.default
CLUSTER_PROBLEMS = _CLUSTERS.problems
POD_NAMESPACE = _ENV.POD_NAMESPACE

# What everybody who can sign in may do everywhere, without a role of their own; empty: nothing.
DEFAULT_ROLE = "" if _ENV.DEFAULT_ROLE == "none" else _ENV.DEFAULT_ROLE
# On: a cluster is only watched and diagnosed on the first day ReCiSt sees it.
AUTONOMY_FIRST_DAY = _ENV.AUTONOMY_FIRST_DAY
# Links of evidence lead there; empty: to Loki and Prometheus themselves.
GRAFANA_URL = _ENV.GRAFANA_URL or ""
GRAFANA_LOKI_DATASOURCE = _ENV.GRAFANA_LOKI_DATASOURCE
GRAFANA_PROMETHEUS_DATASOURCE = _ENV.GRAFANA_PROMETHEUS_DATASOURCE

QDRANT_URL = _ENV.QDRANT_URL
QDRANT_API_KEY = _ENV.QDRANT_API_KEY.get_secret_value() if _ENV.QDRANT_API_KEY else None
# A directory: Qdrant runs inside the knowledge worker instead of as a server. One process may own it.
QDRANT_PATH = _ENV.QDRANT_PATH

LLM_MODEL = _ENV.LLM_MODEL
LLM_API_KEY = _ENV.LLM_API_KEY.get_secret_value() if _ENV.LLM_API_KEY else None
LLM_BASE_URL = _ENV.LLM_BASE_URL
# Private addresses that a policy's llmConfig.baseUrl may name; that of LLM_BASE_URL, which an administrator set, may.
LLM_ALLOWED = Allowed.parse(
    [*_ENV.LLM_ALLOW_PRIVATE, *([str(urlsplit(LLM_BASE_URL).hostname)] if LLM_BASE_URL else [])],
    variable="LLM_ALLOW_PRIVATE",
)
# Reached: the rules decide alone until midnight UTC.
LLM_DAILY_SPEND_LIMIT_USD = _ENV.LLM_DAILY_SPEND_LIMIT_USD
LLM_DAILY_TOKEN_LIMIT = _ENV.LLM_DAILY_TOKEN_LIMIT

# Which model turns texts into vectors: hybrid, wordllama, hashing (all offline), or a name that litellm knows.
EMBEDDING_MODEL = _ENV.EMBEDDING_MODEL
EMBEDDING_DIMENSIONS = _ENV.EMBEDDING_DIMENSIONS
EMBEDDING_API_KEY = _ENV.EMBEDDING_API_KEY.get_secret_value() if _ENV.EMBEDDING_API_KEY else None
EMBEDDING_BASE_URL = _ENV.EMBEDDING_BASE_URL

# The embedded cluster's own control: people may break something on purpose. Only `manage.py demo` sets it.
DEMO_CONTROL_URL = _ENV.DEMO_CONTROL_URL or ""
