"""The oldest and the newest Kubernetes that we are made for, each under a token with the chart's roles and no more: a
bad release is taken back, and one bad pod of several is isolated and replaced.

Everything is real but the queue: the client, the watcher, the engine, and the phases one after another.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.detection.leader import Timing
from healing.detection.watcher import Options, Watcher
from healing.lifecycle import Outcome
from healing.models import ActionRun, Isolation, Policy
from healing.ports import Ports
from recist_web.environment import PROJECT_DIR
from tests.actions.live import Live, running, until
from tests.containment.test_one_bad_pod import (
    NAMESPACE,
    addresses,
    event_about,
    health,
    inject,
    is_well,
    pods_of,
    seconds_of_history,
    story_of,
)
from tests.detection.watching import at_work
from tests.parts.kubectl import Kubectl
from tests.parts.tools import tool
from tests.wiring.test_run import BAD_IMAGE, kubeconfig

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("kubernetes-versions"),
]

VERSIONS = ("1.26", "1.37")
OWN_NAMESPACE = "recist-system"
POLICY = f"""
apiVersion: recist.io/v1alpha1
kind: SelfHealingPolicy
metadata: {{name: shop, namespace: {NAMESPACE}}}
spec:
  targetNamespaces: [{NAMESPACE}]
  allowedActions: [rollback, isolate, release]
  approval: {{mode: never}}
  thresholds: {{forSeconds: 5}}
  verification: {{timeoutSeconds: 60, stableSeconds: 1}}
"""


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Live]]:
    """The shop with its users, in each version: they start at the same time, as that takes them a while."""
    with contextlib.ExitStack() as stack:
        started = {}
        for version in VERSIONS:
            arguments = ("--scenario", "shop", "--no-faults", "--kubernetes-version", version)
            started[version] = stack.enter_context(running(tmp_path_factory.mktemp("shop"), *arguments))
        yield started


@pytest.fixture(params=VERSIONS)
def shop(request: pytest.FixtureRequest, shops: dict[str, Live]) -> Live:
    """What we are to it is a ServiceAccount that has what `helm install` gives."""
    live = shops[request.param]
    assert live.cluster.version().startswith(f"v{request.param}.")
    admin = Kubectl(live.kubeconfig)
    admin("create", "namespace", OWN_NAMESPACE)
    admin("apply", "--filename", "helm/recist/crds")
    admin("apply", "--namespace", OWN_NAMESPACE, "--filename", "-", stdin=roles())
    until(lambda: health(live)["well"] and seconds_of_history(live) > 10, "the shop is well", 90)
    return live


def roles() -> str:
    chart = [str(tool("helm")), "template", "recist", "helm/recist", "--namespace", OWN_NAMESPACE]
    return subprocess.check_output([*chart, "--show-only", "templates/rbac.yaml"], text=True, cwd=PROJECT_DIR)


@pytest.fixture
def ports(shop: Live, tmp_path: Path) -> Iterator[Ports]:
    token = Kubectl(shop.kubeconfig)("create", "token", "recist", "--namespace", OWN_NAMESPACE).strip()
    path = kubeconfig(tmp_path / "recist", server=shop.url, token=token)
    cluster = KubernetesCluster(ClusterConfig(path), default_timeout_seconds=5.0)
    assert not cluster.can_i("list", "Secret", NAMESPACE)
    yield Ports("default", cluster, shop.metrics, shop.logs)
    cluster.close()


@pytest.fixture
def watcher(ports: Ports) -> Iterator[None]:
    with at_work(Watcher(ports, Options(lease_namespace=OWN_NAMESPACE, timing=Timing(3.0, 2.0, 0.2)))):
        yield


def test_the_oldest_and_the_newest_kubernetes_are_healed_under_the_charts_roles(
    shop: Live, ports: Ports, watcher: None
) -> None:
    admin = Kubectl(shop.kubeconfig)
    admin("apply", "--filename", "-", stdin=POLICY)
    until(lambda: Policy.objects.filter(name="shop", enabled=True, error="").exists(), "the policy is known")

    [bad, *others] = pods_of(shop, "cart")
    inject(shop, "errors", workload="cart", error_rate=0.9, pods=1, scope="pod")
    before = image_of(shop, "catalog")
    admin("set", "image", "deployment/catalog", f"catalog={BAD_IMAGE}", "--namespace", NAMESPACE)

    release = story_of(shop, event_about("catalog", {"ImagePullBackOff", "ErrImagePull"}))
    release.ports = ports
    release.through(120)
    assert (release.event.cause, release.event.outcome) == ("ImageNotFound", Outcome.HEALED), release.told
    assert carried_out(release.event) == [("rollback", "catalog")], release.told
    assert image_of(shop, "catalog") == before

    one_pod = story_of(shop, event_about("cart", {"HighErrorRate"}))
    one_pod.ports = ports
    assert one_pod.event.subject["name"] == bad, one_pod.event.message
    one_pod.through(120)
    assert (one_pod.event.cause, one_pod.event.outcome) == ("FaultyPod", Outcome.HEALED), one_pod.told
    assert "contained" in one_pod.kinds(), one_pod.told
    assert carried_out(one_pod.event) == [("release", bad)], one_pod.told
    assert not Isolation.objects.filter(released_at=None).exists()
    until(lambda: bad not in addresses(shop, "cart") and is_well(shop, "cart"), "callers feel nothing")
    assert set(others) < set(pods_of(shop, "cart"))

    for told in (release.told, one_pod.told):
        assert "forbidden" not in told.lower()
        assert "may not" not in told


def image_of(live: Live, deployment: str) -> str:
    found = live.cluster.get("Deployment", NAMESPACE, deployment)
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def carried_out(event: object) -> list[tuple[str, str]]:
    rows = ActionRun.objects.filter(event=event, strategy__isnull=False)
    return [(row.action, row.target["name"]) for row in rows]
