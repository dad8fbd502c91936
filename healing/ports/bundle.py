"""One cluster's connections, joined by the wiring (setting ``HEALING_PORTS_FACTORY``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from django.conf import settings
from django.utils.module_loading import import_string

from healing.ports.cluster import Cluster
from healing.ports.language_model import LanguageModel
from healing.ports.logs import Logs
from healing.ports.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a phase may reach of one cluster. ``None``: that source is not configured."""

    cluster_name: str
    cluster: Cluster
    metrics: Metrics | None = None
    logs: Logs | None = None
    language_model: LanguageModel | None = None
    #: we may look into these namespaces only; empty: into all
    namespaces: tuple[str, ...] = ()


def get_ports(cluster_name: str) -> Ports:
    """The connections of a cluster. The factory caches; raises `LookupError` for a cluster that is not configured."""
    factory = import_string(settings.HEALING_PORTS_FACTORY)
    return cast("Ports", factory(cluster_name))
