"""All checks, in the order they are told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from recist_web.doctor import clusters, helpers, installation, processes, sources, stores
from recist_web.doctor.runner import Check

_STORE = "Is DATABASE_URL right, and does it run? Nothing works without it."
_VALKEY = "Is REDIS_URL right, and does it run? Without it no message reaches a worker; nothing is lost meanwhile."


def of(names: Sequence[str], *, ask_llm: bool = False) -> list[Check]:
    """Everything, with these clusters."""
    found = [
        Check("environment", installation.environment),
        Check("web", installation.web),
        Check("disk", installation.disk),
        Check("database", stores.database, _STORE),
        Check("migrations", stores.migrations, _STORE),
        Check("valkey", stores.valkey, _VALKEY),
        Check("workers", processes.queues, _VALKEY),
        Check("beat", processes.beat, _VALKEY),
        Check("watchers", partial(processes.watchers, names), _VALKEY),
    ]
    for name in names:
        found += [
            Check(f"cluster {name}: API", partial(clusters.api, name)),
            Check(f"cluster {name}: resource definitions", partial(clusters.definitions, name)),
            Check(f"cluster {name}: permissions", partial(clusters.permissions, name)),
            Check(f"cluster {name}: network", partial(clusters.enforcement, name)),
            Check(f"cluster {name}: policies", partial(clusters.policies, name)),
            Check(f"cluster {name}: Prometheus", partial(sources.prometheus, name)),
            Check(f"cluster {name}: Loki", partial(sources.loki, name)),
        ]
    return [
        *found,
        Check("memory", helpers.memory, "Does Qdrant run, and the database?"),
        Check("embeddings", helpers.embedding, "See EMBEDDING_MODEL and EMBEDDING_API_KEY."),
        Check("language model", partial(helpers.language_model, ask=ask_llm)),
        Check("notifications", helpers.notifications),
        Check("single sign-on", helpers.single_sign_on),
    ]
