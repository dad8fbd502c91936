"""Certificates toward their end, as their exporters tell."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from healing.forecasting.model import Foreseen
from healing.models import WarningKind
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Metrics
from healing.queries import trends
from knowledge.forecasts import Breach

#: cert-manager renews at two thirds of 90 days: what is left is 30. Below this nobody has renewed it.
WARN_SECONDS = 14 * 86_400.0
_NAMESPACE = ("exported_namespace", "secret_namespace", "namespace")
_NAME = ("secret_name", "name", "secret")


def look(metrics: Metrics, namespaces: Iterable[str], now: datetime) -> list[Foreseen]:
    """Certificates of these namespaces that end soon. Raises `healing.ports.errors`."""
    chosen = set(namespaces)
    newest: dict[ObjectRef, float] = {}
    for sample in metrics.query(trends.CERTIFICATES.text(), timeout_seconds=8.0):
        namespace = next((sample.labels[label] for label in _NAMESPACE if sample.labels.get(label)), "")
        name = next((sample.labels[label] for label in _NAME if sample.labels.get(label)), "")
        if namespace in chosen and name and sample.value > 0:
            kind = "Certificate" if sample.labels.get("__name__", "").startswith("certmanager") else "Secret"
            ref = ObjectRef(kind, namespace, name)
            newest[ref] = max(sample.value, newest.get(ref, 0.0))
    found = []
    for ref, ends in newest.items():
        left = ends - now.timestamp()
        if left < WARN_SECONDS:
            found.append(
                Foreseen(
                    WarningKind.CERTIFICATE,
                    ref,
                    "",
                    "seconds",
                    max(0.0, left),
                    0.0,
                    Breach(max(0.0, left), max(0.0, left), max(0.0, left)),
                    0.99,
                    query=trends.CERTIFICATES.text(),
                    details={"endsAt": round(ends), "scale": "days"},
                )
            )
    return found
