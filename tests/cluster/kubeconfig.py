"""Kubeconfigs with one cluster, one user and one context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def write(path: Path, server: str, user: dict[str, Any], *, namespace: str = "", **cluster: Any) -> Path:
    """``cluster``: what else is said of it, such as ``proxy-url``; ``namespace``: the context's. The path it got."""
    context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "here", "context": context}],
    }
    path.write_text(yaml.safe_dump(config))
    return path
