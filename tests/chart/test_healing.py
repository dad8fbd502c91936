"""The installed chart's own ServiceAccount heals a fault, with the rights of a few actions in one namespace, on the
oldest Kubernetes that we are made for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chart.rendering import CHART, helm
from tests.cluster.sandbox import RunningSandbox, running_sandbox
from tests.parts.kubectl import Kubectl
from tests.wiring.test_run import BAD_IMAGE, healed, kubeconfig, running, server_of, serves_the_old_image

ACTIONS = "rollback,isolate,release,pauseRollout,resumeRollout"
POLICY = """
apiVersion: recist.io/v1alpha1
kind: SelfHealingPolicy
metadata: {name: shop, namespace: shop}
spec:
  targetNamespaces: [shop]
  allowedActions: [rollback]
  approval: {mode: never}
  autonomy: heal
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    directory = tmp_path_factory.mktemp("shop")
    with running_sandbox(directory, scenario="shop", with_crds=False, kubernetes="1.26") as sandbox:
        yield sandbox


@pytest.mark.tree
@pytest.mark.timeout(300)
def test_a_fault_is_healed_with_exactly_the_rights_that_were_asked_for(shop: RunningSandbox, tmp_path: Path) -> None:
    admin = Kubectl(shop.kubeconfig)
    admin("create", "namespace", "recist-system")
    narrow = f"rbac.namespaces={{shop}},rbac.actions={{{ACTIONS}}}"
    done = helm("install", "recist", str(CHART), "-n", "recist-system", "--set", narrow, kubeconfig=shop.kubeconfig)
    assert done.returncode == 0, done.stderr
    token = admin("create", "token", "recist", "--namespace", "recist-system").strip()
    path = kubeconfig(tmp_path / "recist", server=server_of(shop), token=token)

    with httpx.Client(base_url=server_of(shop), trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {token}"

        def status(method: str, what: str) -> int:
            return client.request(method, what).status_code

        assert status("GET", "/api/v1/namespaces/shop/pods") == 200
        for forbidden in ("/api/v1/pods", "/api/v1/nodes", "/api/v1/namespaces/shop/secrets", "/api/v1/secrets"):
            assert status("GET", forbidden) == 403, forbidden
        assert status("DELETE", "/api/v1/namespaces/shop/configmaps/none") == 403
        assert status("DELETE", "/apis/apps/v1/namespaces/shop/deployments/orders") == 403
        assert status("GET", "/apis/apps/v1/namespaces/recist-system/deployments") == 403

    urls = ("--prometheus", shop.prometheus, "--loki", shop.loki)
    with running(tmp_path / "var", "--kubeconfig", str(path), "--namespace", "shop", *urls) as run:
        # Under load of other tests, seven processes take their time.
        run.wait_for(lambda: "ReCiSt is ready" in run.said, "ReCiSt is ready", 150)
        assert "(Kubernetes v1.26.0)" in run.said
        assert "Warning: " not in run.said
        admin("apply", "--filename", "-", stdin=POLICY)
        admin("set", "image", "deployment/orders", f"orders={BAD_IMAGE}", "--namespace", "shop")
        run.wait_for(lambda: healed(admin, "orders"), "the HealingEvent says that it is healed", 150)
        assert serves_the_old_image(admin, "orders")
