"""The Gateway API's kinds, installed as the CustomResourceDefinitions they are in every cluster."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from healing.sandbox.ports import Cluster, Object, User

GROUP = "gateway.networking.k8s.io"
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
_INSTALLER = User("kubernetes-admin", ("system:masters", "system:authenticated"), field_manager="kubectl")
_ANNOTATIONS = {
    "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/3328",
    "gateway.networking.k8s.io/bundle-version": "v1.3.0",
    "gateway.networking.k8s.io/channel": "standard",
}


@cache
def _kinds() -> dict[str, Any]:
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def install_gateway_api(cluster: Cluster) -> None:
    """Define GatewayClass, Gateway and HTTPRoute, unless they are defined already."""
    for plural, kind in _kinds().items():
        body = _definition(plural, kind)
        if cluster.get(_DEFINITIONS, None, body["metadata"]["name"]) is None:
            cluster.create(_DEFINITIONS, None, body, user=_INSTALLER)


def _definition(plural: str, kind: dict[str, Any]) -> Object:
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
            "spec": {**kind["spec"], "x-kubernetes-preserve-unknown-fields": True}, "status": status,
        },
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "annotations": _ANNOTATIONS},
        "spec": {
            "group": GROUP,
            "scope": kind["scope"],
            "names": {
                "kind": kind["kind"], "listKind": f"{kind['kind']}List", "plural": plural,
                "singular": kind["kind"].lower(), "shortNames": kind["shortNames"], "categories": ["gateway-api"],
            },
            "versions": [{
                "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                "additionalPrinterColumns": kind["columns"], "schema": {"openAPIV3Schema": schema},
            }],
        },
    }  # fmt: skip
