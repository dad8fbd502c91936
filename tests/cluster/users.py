"""Users of a sandbox with the rights that a test gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster import kubeconfig
from tests.cluster.sandbox import RunningSandbox

RBAC = "/apis/rbac.authorization.k8s.io/v1"


class Admin:
    """Makes users with the rights that a test gives them."""

    def __init__(self, sandbox: RunningSandbox, directory: Path) -> None:
        config = yaml.safe_load(sandbox.kubeconfig.read_text())
        self._server = config["clusters"][0]["cluster"]["server"]
        token = config["users"][0]["user"]["token"]
        self._http = httpx.Client(
            base_url=self._server, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
        )
        self._directory = directory

    def close(self) -> None:
        self._http.close()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._http.post(path, json=body)
        assert answer.status_code in (201, 409), answer.text
        return dict(answer.json())

    def user(self, name: str, namespaces: tuple[str, ...], rules: list[dict[str, Any]], at: str = "") -> Path:
        """A ServiceAccount with these rules in these namespaces; its kubeconfig, whose context is in `at`."""
        for namespace in namespaces:
            self.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        self.post(f"/api/v1/namespaces/{namespaces[0]}/serviceaccounts", {"metadata": {"name": name}})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespaces[0]}
        for namespace in namespaces:
            self.post(f"{RBAC}/namespaces/{namespace}/roles", {"metadata": {"name": name}, "rules": rules})
            ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
            binding = {"metadata": {"name": name}, "roleRef": ref, "subjects": [subject]}
            self.post(f"{RBAC}/namespaces/{namespace}/rolebindings", binding)
        tokens = f"/api/v1/namespaces/{namespaces[0]}/serviceaccounts/{name}/token"
        token = self.post(tokens, {"spec": {}})["status"]["token"]
        path = self._directory / f"{name}.kubeconfig"
        return kubeconfig.write(path, self._server, {"token": token}, namespace=at)
