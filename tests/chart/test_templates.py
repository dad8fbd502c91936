"""What the templates make of values."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from recist_web.celery import QUEUES
from tests.chart.rendering import (
    CHART,
    EVERYTHING,
    OWN_STORES,
    Object,
    containers,
    helm,
    hook_of,
    named,
    of_kind,
    pods,
    refused,
    rendered,
)

PROCESSES = {
    "recist-web",
    "recist-worker-containment",
    "recist-worker-healing",
    "recist-worker-knowledge",
    "recist-worker-notifications",
    "recist-beat",
    "recist-watcher",
}
STORES = {"recist-postgresql", "recist-valkey", "recist-qdrant"}


@pytest.fixture(scope="module")
def plain() -> list[Object]:
    """As the installation guide installs it."""
    return rendered()


@pytest.fixture(scope="module")
def everything() -> list[Object]:
    return rendered("--values", str(EVERYTHING))


def variables(container: Object) -> dict[str, Any]:
    return {entry["name"]: entry for entry in container.get("env", ())}


def test_the_chart_is_clean() -> None:
    for values in ((), ("--values", str(EVERYTHING)), ("--values", str(OWN_STORES))):
        done = helm("lint", "--strict", str(CHART), *values)
        assert done.returncode == 0, done.stdout


def test_the_installation_guide_needs_no_values(plain: list[Object]) -> None:
    assert {found["metadata"]["name"] for found in of_kind(plain, "Deployment")} == PROCESSES
    assert {found["metadata"]["name"] for found in of_kind(plain, "StatefulSet")} == STORES
    (web,) = containers(named(plain, "Deployment", "recist-web")["spec"]["template"])[1:]
    # Without the secret it starts all the same: no language model is needed.
    key = variables(web)["LLM_API_KEY"]["valueFrom"]["secretKeyRef"]
    assert key == {"name": "llm-api-key", "key": "key", "optional": True}
    assert web["image"] == "recist:latest"


def test_every_queue_has_one_group_of_workers(plain: list[Object]) -> None:
    served: list[str] = []
    for deployment in of_kind(plain, "Deployment"):
        command = deployment["spec"]["template"]["spec"]["containers"][0]["command"]
        if "-Q" in command:
            served += command[command.index("-Q") + 1].split(",")
    assert sorted(served) == sorted(QUEUES)


def test_two_watchers_and_never_two_beats(plain: list[Object], everything: list[Object]) -> None:
    assert named(plain, "Deployment", "recist-watcher")["spec"]["replicas"] == 2
    for objects in (plain, everything):
        beat = named(objects, "Deployment", "recist-beat")["spec"]
        assert (beat["replicas"], beat["strategy"]["type"]) == (1, "Recreate")


@pytest.mark.parametrize("values", [(), ("--values", str(EVERYTHING))], ids=["plain", "everything"])
def test_every_pod_is_restricted_reads_only_and_has_limits(values: tuple[str, ...]) -> None:
    for name, template in pods(rendered(*values)):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert spec["enableServiceLinks"] is False, name
        for container in containers(template):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name
            assert not re.search(r":latest$", container["image"]) or container["image"] == "recist:latest", name
        assert not [volume for volume in spec.get("volumes", ()) if "hostPath" in volume], name


def test_everything_that_serves_has_probes(plain: list[Object]) -> None:
    for name, template in pods(plain):
        if named_job(plain, name):
            continue
        (main,) = template["spec"]["containers"]
        assert {"readinessProbe", "livenessProbe"} <= set(main), name
    (web,) = named(plain, "Deployment", "recist-web")["spec"]["template"]["spec"]["containers"]
    assert web["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"


def named_job(objects: list[Object], name: str) -> bool:
    return any(found["metadata"]["name"] == name for found in of_kind(objects, "Job"))


def test_only_who_asks_the_cluster_has_a_token(plain: list[Object]) -> None:
    with_token = {name for name, template in pods(plain) if template["spec"].get("automountServiceAccountToken")}
    assert with_token == (PROCESSES - {"recist-beat"}) | {"recist-crds"}
    (account,) = [found for found in of_kind(plain, "ServiceAccount") if found["metadata"]["name"] == "recist"]
    assert account["automountServiceAccountToken"] is False


# --- migrations -----------------------------------------------------------------------------------------------------


def migrations(objects: list[Object]) -> Object:
    (job,) = [found for found in of_kind(objects, "Job") if "-migrations" in found["metadata"]["name"]]
    return job


def test_with_a_database_of_ones_own_migrations_are_a_hook_that_needs_nothing_of_the_release() -> None:
    objects = rendered("--values", str(OWN_STORES))
    job = migrations(objects)
    assert hook_of(job) == "pre-install,pre-upgrade"
    spec = job["spec"]["template"]["spec"]
    # Before the installation there is nothing of ours: no ServiceAccount, no ConfigMap, no Secret.
    assert "serviceAccountName" not in spec
    text = yaml.safe_dump(spec)
    assert "configMapRef" not in text
    assert re.findall(r"secretKeyRef:\n\s+key: (\S+)\n\s+name: (\S+)", text) == [("url", "recist-database")]


def test_with_the_bundled_database_the_first_migration_is_an_ordinary_job(plain: list[Object]) -> None:
    """A hook would run before the database is there, or with `--wait` never."""
    job = migrations(plain)
    assert hook_of(job) == ""
    (main,) = job["spec"]["template"]["spec"]["containers"]
    assert variables(main)["DATABASE_URL"]["valueFrom"]["secretKeyRef"] == {"name": "recist", "key": "database-url"}
    other = migrations(rendered("--set", "image.tag=next"))
    assert other["metadata"]["name"] != job["metadata"]["name"], "a Job cannot be changed"


def test_nothing_starts_before_the_migrations(plain: list[Object]) -> None:
    for deployment in of_kind(plain, "Deployment"):
        (first, *_) = deployment["spec"]["template"]["spec"]["initContainers"]
        assert "migrate --check" in " ".join(first["command"])


# --- network, budgets, autoscalers, monitoring ------------------------------------------------------------------------


def ports_called(objects: list[Object]) -> set[int]:
    policy = named(objects, "NetworkPolicy", "recist-calls")
    return {entry["port"] for rule in policy["spec"]["egress"] if "to" not in rule for entry in rule["ports"]} - {
        53,
        5353,
    }


def test_nothing_is_reached_and_reaches_but_what_is_named(plain: list[Object], everything: list[Object]) -> None:
    deny = named(plain, "NetworkPolicy", "recist-default-deny")["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(deny)
    assert deny["podSelector"] == {
        "matchLabels": {"app.kubernetes.io/name": "recist", "app.kubernetes.io/instance": "recist"}
    }
    assert named(everything, "NetworkPolicy", "recist-default-deny")["spec"]["podSelector"] == {}
    # Every pod of ours is chosen by it.
    for name, template in pods(plain):
        assert set(deny["podSelector"]["matchLabels"].items()) <= set(template["metadata"]["labels"].items()), name
    assert ports_called(plain) == {443, 6443, 9090, 3100, 5432, 6379, 6333, 6334}
    # database, redis, llm, oidc, prometheus, qdrant, more; https of all others
    mail = {25, 465, 587}
    assert ports_called(everything) == {443, 6443, 6432, 6380, 11434, 8443, 9443, 6333, 8200, *mail}
    for store, ports in (("postgresql", [5432]), ("valkey", [6379]), ("qdrant", [6333, 6334])):
        (rule,) = named(plain, "NetworkPolicy", f"recist-{store}")["spec"]["ingress"]
        assert [entry["port"] for entry in rule["ports"]] == ports
        assert rule["from"] == [{"podSelector": deny["podSelector"]}]
    (rule,) = named(everything, "NetworkPolicy", "recist-web")["spec"]["ingress"]
    assert rule["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "ingress-nginx"}
    assert not of_kind(rendered("--set", "networkPolicy.enabled=false"), "NetworkPolicy")


def test_budgets_and_autoscalers_choose_the_pods_they_are_for(everything: list[Object]) -> None:
    deployments = {found["metadata"]["name"]: found["spec"] for found in of_kind(everything, "Deployment")}
    budgets = {found["metadata"]["name"]: found["spec"] for found in of_kind(everything, "PodDisruptionBudget")}
    assert set(budgets) == PROCESSES - {"recist-beat"}
    for name, budget in budgets.items():
        assert budget["selector"] == deployments[name]["selector"]
        assert budget["maxUnavailable"] == 1
    scaled = {found["spec"]["scaleTargetRef"]["name"] for found in of_kind(everything, "HorizontalPodAutoscaler")}
    assert scaled == PROCESSES - {"recist-beat", "recist-watcher"}
    # What scales them would be undone by every upgrade.
    assert {name for name, spec in deployments.items() if "replicas" not in spec} == scaled
    assert "larger than maxReplicas" in refused(
        "--set", "web.autoscaling.enabled=true", "--set", "web.autoscaling.minReplicas=9"
    )


def test_the_scrape_finds_the_service(everything: list[Object]) -> None:
    monitor = named(everything, "ServiceMonitor", "recist")
    service = named(everything, "Service", "recist")
    assert set(monitor["spec"]["selector"]["matchLabels"].items()) <= set(service["metadata"]["labels"].items())
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_dashboard_and_alerts_are_what_the_files_say(everything: list[Object]) -> None:
    dashboard, alerts = CHART / "files" / "dashboard.json", CHART / "files" / "alerts.yaml"
    if dashboard.exists():
        found = named(everything, "ConfigMap", "recist-dashboard")
        assert found["data"]["recist.json"] == dashboard.read_text()
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    if alerts.exists():
        assert named(everything, "ConfigMap", "recist-alerts")["data"]["recist.yaml"] == alerts.read_text()
        rule = named(everything, "PrometheusRule", "recist")["spec"]
        assert rule == yaml.safe_load(alerts.read_text())
        assert rule["groups"]
    assert not of_kind(rendered(), "PrometheusRule")


def test_an_ingress_comes_with_tls(everything: list[Object]) -> None:
    ingress = named(everything, "Ingress", "recist")["spec"]
    assert ingress["tls"] == [{"hosts": ["recist.example.com", "heal.example.com"], "secretName": "recist-tls"}]
    assert [rule["host"] for rule in ingress["rules"]] == ["recist.example.com", "heal.example.com"]
    enabled = ("--set", "ingress.enabled=true")
    assert "set https to true" in refused(*enabled)
    assert "ingress.tlsSecret" in refused(*enabled, "--set", "https=true")


# --- stores -----------------------------------------------------------------------------------------------------------


def test_naming_ones_own_stores_bundles_none() -> None:
    objects = rendered("--values", str(OWN_STORES))
    assert of_kind(objects, "StatefulSet") == []
    (main,) = containers(named(objects, "Deployment", "recist-web")["spec"]["template"])[1:]
    names = {
        name: entry["valueFrom"]["secretKeyRef"]["name"]
        for name, entry in variables(main).items()
        if "secretKeyRef" in entry["valueFrom"]
    }
    assert names == {
        "SECRET_KEY": "recist-secret-key",
        "SECRET_KEY_FALLBACKS": "recist-secret-key",  # where there is one
        "DATABASE_URL": "recist-database",
        "REDIS_URL": "recist-redis",
        "QDRANT_API_KEY": "recist-qdrant",
        "LLM_API_KEY": "llm-api-key",
    }


def test_a_database_has_to_be_there() -> None:
    assert "database.existingSecret" in refused("--set", "postgresql.enabled=false")


def test_without_bundled_stores_the_seeds_addresses_hold() -> None:
    objects = rendered("--set", "valkey.enabled=false", "--set", "qdrant.enabled=false")
    data = named(objects, "ConfigMap", "recist")["data"]
    assert data["REDIS_URL"] == "redis://redis:6379"
    assert data["QDRANT_URL"] == "http://qdrant:6334"
    assert {found["metadata"]["name"] for found in of_kind(objects, "StatefulSet")} == {"recist-postgresql"}


def test_a_release_of_another_name_stays_apart(plain: list[Object]) -> None:
    done = helm("template", "second", str(CHART), "--namespace", "recist-system")
    other = [document for document in yaml.safe_load_all(done.stdout) if document]

    def identities(objects: list[Object]) -> set[tuple[str, str]]:
        return {(found["kind"], found["metadata"]["name"]) for found in objects}

    assert identities(plain) & identities(other) == set()
    assert "second-recist-postgresql:5432" in named(other, "Secret", "second-recist")["stringData"]["database-url"]
