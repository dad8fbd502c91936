from __future__ import annotations

from tests.cluster.fixtures import live, namespace, sandbox

__all__ = ["live", "namespace", "sandbox"]
