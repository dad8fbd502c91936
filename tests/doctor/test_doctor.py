"""`manage.py doctor` on the embedded cluster, with one thing broken after the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from healing import telemetry
from healing.containment import network
from healing.detection import heartbeat
from healing.models import Policy
from healing.ports import get_ports
from recist_web.clusters import ClusterTarget
from recist_web.doctor import checks, clusters, helpers, installation, processes, runner, sources, stores
from recist_web.doctor.report import Finding, Level, in_lines, worst
from recist_web.doctor.runner import Check
from tests.actions.live import until
from tests.cluster.sandbox import RunningSandbox, running_sandbox
from tests.cluster.server import Answer, running
from tests.cluster.users import Admin


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running_sandbox(tmp_path_factory.mktemp("doctor"), scenario="shop") as started:
        yield started


@pytest.fixture
def cluster(sandbox: RunningSandbox, settings: Settings) -> Iterator[str]:
    """A name of its own: what is known of a cluster's network is kept by name."""
    use(settings, ClusterTarget("here", sandbox.kubeconfig, None, sandbox.prometheus, sandbox.loki))
    network.forget()
    yield "here"
    get_ports("here").cluster.close()  # type: ignore[attr-defined]  # the real one has connections


def use(settings: Settings, *targets: ClusterTarget) -> None:
    settings.CLUSTERS = {target.name: target for target in targets}
    settings.CLUSTER_NAME = targets[0].name


def levels(findings: Any) -> dict[Level, list[str]]:
    found: dict[Level, list[str]] = {level: [] for level in Level}
    for finding in findings:
        found[finding.level].append(f"{finding.part}: {finding.message} {finding.advice}")
    return found


def one(findings: Any, level: Level, *words: str) -> Finding:
    found = list(findings)
    hits = [f for f in found if f.level is level and all(w in f"{f.message} {f.advice}" for w in words)]
    assert hits, [(f.level.name, f.message, f.advice) for f in found]
    return hits[0]


# --- a cluster ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_cluster_in_order(cluster: str) -> None:
    Policy.objects.create(cluster=cluster, namespace="shop", name="p", spec={"targetNamespaces": ["shop"]})
    for check in (clusters.api, clusters.definitions, clusters.permissions, clusters.policies, sources.prometheus):
        found = levels(check(cluster))
        assert found[Level.ERROR] == [], check
        assert found[Level.OK], check
    one(clusters.api(cluster), Level.OK, "Kubernetes v1.")
    # the sandbox has just begun: what is scraped is there a moment later
    until(lambda: any("requests are counted by" in f.message for f in sources.prometheus(cluster)), "metrics", 60)


def test_an_api_server_that_is_away(settings: Settings, tmp_path: Path, sandbox: RunningSandbox) -> None:
    config = tmp_path / "config"
    import yaml

    body = yaml.safe_load(sandbox.kubeconfig.read_text())
    body["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
    body["clusters"][0]["cluster"].pop("certificate-authority-data", None)
    config.write_text(yaml.safe_dump(body))
    use(settings, ClusterTarget("away", config, None, "http://127.0.0.1:9", "http://127.0.0.1:9"))
    one(clusters.api("away"), Level.ERROR, "cannot be reached", "KUBECONFIG")
    one(sources.prometheus("away"), Level.ERROR, "Prometheus", "PROMETHEUS_URL")
    one(sources.loki("away"), Level.ERROR, "Loki", "LOKI_URL")
    one(clusters.enforcement("away"), Level.WARNING, "not known")


@pytest.mark.parametrize(
    ("version", "level", "said"),
    [
        ("v1.25.16", Level.ERROR, "v1.25.16 is too old. ReCiSt is made for 1.26 to 1.37."),
        ("v1.26.0", Level.OK, "v1.26.0, one of those that ReCiSt is made for (1.26 to 1.37)"),
        ("v1.37.1-gke.7", Level.OK, "v1.37.1-gke.7, one of those"),
        ("v1.38.0", Level.WARNING, "v1.38.0 is newer than what ReCiSt was tested with (1.26 to 1.37)"),
        ("v9", Level.WARNING, "does not say a version that we know"),
    ],
)
def test_a_version_is_named_with_what_we_think_of_it(
    settings: Settings, tmp_path: Path, version: str, level: Level, said: str
) -> None:
    with running() as server:
        server.answer(Answer(200, {"gitVersion": version}))
        name = f"of-{version}"
        use(settings, ClusterTarget(name, server.kubeconfig(tmp_path), None, None, None))
        [found] = clusters.api(name)
        get_ports(name).cluster.close()  # type: ignore[attr-defined]  # the real one has connections
    assert (found.level, said in f"{found.message} {found.advice}") == (level, True), found


def test_definitions_that_are_missing_or_old(cluster: str, sandbox: RunningSandbox) -> None:
    live = sandbox.connect()
    name = "selfhealingpolicies.recist.io"
    crd = live.get("CustomResourceDefinition", "", name)
    try:
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        gone = schema["properties"]["spec"]["properties"].pop("autonomy")
        assert gone
        live.patch(
            "CustomResourceDefinition", "", name,
            [{"op": "replace", "path": "/spec/versions/0/schema", "value": {"openAPIV3Schema": schema}}],
            patch_type="json",
        )  # fmt: skip
        one(clusters.definitions(cluster), Level.WARNING, "older version", "spec.autonomy", "kubectl apply")
        live.delete("CustomResourceDefinition", "", name)
        one(clusters.definitions(cluster), Level.ERROR, f"{name} is missing", "kubectl apply")
    finally:
        from healing.cluster import crds

        crds.apply(live)
        live.close()


def test_rights_that_are_missing_are_named_with_the_rule_to_add(
    settings: Settings, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    admin = Admin(sandbox, tmp_path)
    try:
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
        kubeconfig = admin.user("reader", ("narrow",), rules)
        use(settings, ClusterTarget("narrow", kubeconfig, None, None, None))
        found = list(clusters.permissions("narrow"))
        one(found, Level.ERROR, "Pods may not be", "ClusterRole", "pods")
        one(found, Level.ERROR, "Lease", "leases")
        one(found, Level.WARNING, "deployments.apps", "detection")
        one(found, Level.WARNING, "permissions are not granted", "verbs")
    finally:
        admin.close()


@pytest.mark.django_db
def test_policies_that_cannot_work(cluster: str) -> None:
    one(clusters.policies(cluster), Level.WARNING, "There is none")
    Policy.objects.create(cluster=cluster, namespace="a", name="gone", spec={"targetNamespaces": ["nowhere"]})
    Policy.objects.create(cluster=cluster, namespace="a", name="bad", spec={"targetNamespaces": "*"})
    Policy.objects.create(
        cluster=cluster, namespace="a", name="late", spec={"targetNamespaces": ["shop"]}, error="no such action"
    )
    found = list(clusters.policies(cluster))
    one(found, Level.WARNING, "a/gone", "nowhere, which does not exist")
    one(found, Level.ERROR, "a/bad cannot be used", "targetNamespaces")
    one(found, Level.ERROR, "a/late", "no such action")


def test_sources_that_are_not_configured(settings: Settings, sandbox: RunningSandbox) -> None:
    use(settings, ClusterTarget("bare", sandbox.kubeconfig))
    one(sources.prometheus("bare"), Level.WARNING, "PROMETHEUS_URL")
    one(sources.loki("bare"), Level.OK, "Kubernetes API")


# --- stores and processes -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_stores_in_order() -> None:
    for check in (stores.database, stores.migrations, stores.valkey):
        found = levels(check())
        assert found[Level.ERROR] == found[Level.WARNING] == [], check


@pytest.mark.django_db
def test_a_migration_that_is_not_applied_and_one_from_the_future() -> None:
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader

    [(_, newest)] = MigrationLoader(connection).graph.leaf_nodes("healing")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'healing' AND name = %s", [newest])
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('healing', '9999_x', now())")
    found = list(stores.migrations())
    one(found, Level.ERROR, f"healing.{newest}", "manage.py migrate")
    one(found, Level.WARNING, "healing.9999_x", "newer")


def test_a_valkey_that_throws_messages_away(empty_valkey: str) -> None:
    import redis

    with redis.Redis.from_url(empty_valkey) as client:
        client.config_set("maxmemory", "500mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            one(stores.valkey(), Level.ERROR, "allkeys-lru", "noeviction")
        finally:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.parametrize(("seconds", "level"), [(0.0, Level.OK), (3.0, Level.WARNING), (60.0, Level.ERROR)])
def test_clocks(seconds: float, level: Level) -> None:
    assert stores.skewed("database", seconds).level is level


def test_workers_beat_and_watchers_that_are_not_there(empty_valkey: str) -> None:
    one(processes.queues(), Level.ERROR, "No worker answers", "celery")
    one(processes.beat(), Level.ERROR, "has not run", "beat")
    one(processes.watchers(["here"]), Level.ERROR, "No watcher is at work", "manage.py watch")


def test_beat_and_watchers_that_are_there(empty_valkey: str) -> None:
    telemetry.mark("recist_task_last_success_timestamp_seconds", "healing.tasks.sweep", value=time.time())
    assert telemetry.flush()
    one(processes.beat(), Level.OK, "ran")
    telemetry.mark("recist_task_last_success_timestamp_seconds", "healing.tasks.sweep", value=time.time() - 100)
    assert telemetry.flush()
    one(processes.beat(), Level.ERROR, "100 s ago")
    sign = heartbeat.Heartbeat(timezone.now().isoformat(), "w-1", is_leader=True, leader="w-1", synced=True, objects=7)
    heartbeat.write("here", sign)
    one(processes.watchers(["here"]), Level.OK, "w-1 watches 7 objects")
    broken = {"Prometheus": "it cannot be reached"}
    heartbeat.write(
        "here", heartbeat.Heartbeat(timezone.now().isoformat(), "w-1", is_leader=False, problems={"Lease": "forbidden"})
    )
    one(processes.watchers(["here"]), Level.ERROR, "none holds the Lease", "forbidden")
    heartbeat.write(
        "here",
        heartbeat.Heartbeat(
            timezone.now().isoformat(),
            "w-1",
            is_leader=True,
            leader="w-1",
            synced=True,
            problems=broken,
            lag_seconds=9.0,
        ),
    )
    found = list(processes.watchers(["here"]))
    one(found, Level.WARNING, "cannot be reached")
    one(found, Level.WARNING, "9.0 s late")


# --- the installation and what helps ---------------------------------------------------------------------------


def test_the_web_s_settings(settings: Settings) -> None:
    settings.DEBUG, settings.ALLOWED_HOSTS, settings.SESSION_COOKIE_SECURE = True, ["*", "recist.example.com"], False
    settings.SECRET_KEY = "short"
    found = list(installation.web())
    one(found, Level.ERROR, "DEBUG")
    one(found, Level.WARNING, "ALLOWED_HOSTS")
    one(found, Level.WARNING, "HTTPS_ONLY")
    one(found, Level.WARNING, "SECRET_KEY is short")
    settings.SECRET_KEY_IS_SET = False
    one(installation.web(), Level.ERROR, "SECRET_KEY is not set")


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = SimpleNamespace(total=100 * 1024**3, used=0, free=10 * 1024**2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    one(installation.disk(), Level.ERROR, "GiB are free", "RETENTION_DAYS")


@pytest.mark.django_db
def test_qdrant_that_is_away(settings: Settings) -> None:
    settings.QDRANT_PATH, settings.QDRANT_URL = None, "http://127.0.0.1:9"
    one(helpers.memory(), Level.ERROR, "Qdrant cannot be reached", "QDRANT_URL")


@pytest.mark.django_db
def test_channels_whose_secrets_cannot_be_read(cluster: str, settings: Settings) -> None:
    one(helpers.notifications(), Level.WARNING, "no channel")
    slack = {"type": "slack", "urlSecret": {"name": "slack", "key": "url"}, "when": ["escalated"]}
    spec = {"targetNamespaces": ["shop"], "notifications": {"enabled": True, "channels": [slack]}}
    Policy.objects.create(cluster=cluster, namespace="shop", name="p", spec=spec)
    settings.NOTIFICATION_SECRETS = {"NOTIFY_SLACK_URL": "http://10.0.0.1/hook"}
    found = list(helpers.notifications())
    one(found, Level.ERROR, "Secret shop/slack", "does not exist")
    one(found, Level.ERROR, "private address")


def test_single_sign_on_that_is_half_set(settings: Settings) -> None:
    from recist_web.environment import parse

    settings.ENVIRONMENT = parse({"OIDC_ISSUER": "http://127.0.0.1:9/sso"})
    one(helpers.single_sign_on(), Level.ERROR, "Only OIDC_ISSUER")
    settings.ENVIRONMENT = parse(
        {"OIDC_ISSUER": "http://127.0.0.1:9/sso", "OIDC_CLIENT_ID": "c", "OIDC_CLIENT_SECRET": "s"}
    )
    settings.OIDC_IS_SET = True
    one(helpers.single_sign_on(), Level.ERROR, "ConnectError", "OIDC_ISSUER")


# --- the command -----------------------------------------------------------------------------------------------


def test_checks_that_hang_or_raise_end_in_findings() -> None:
    def hangs() -> Iterator[Finding]:
        yield Finding("slow", Level.OK, "a first word")
        time.sleep(30)

    def raises() -> Iterator[Finding]:
        raise RuntimeError("postgres://u:hunter2secret@db/x is broken")
        yield

    started = time.monotonic()
    found = runner.run([Check("slow", hangs, "wait"), Check("bad", raises, "mend it")], timeout_seconds=2)
    assert time.monotonic() - started < 20
    assert [(f.part, f.level) for f in found] == [("slow", Level.OK), ("slow", Level.ERROR), ("bad", Level.ERROR)]
    assert worst(found) is Level.ERROR
    text = "\n".join(in_lines(found))
    assert "mend it" in text
    assert "hunter2secret" not in text


@pytest.mark.django_db
def test_the_command_works_when_everything_is_broken(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    use(settings, ClusterTarget("away", Path("/no/such/kubeconfig"), None, "http://127.0.0.1:9", "http://127.0.0.1:9"))
    settings.REDIS_URL = "redis://:planted-password@127.0.0.1:9"
    started = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json", "--timeout", "15")
    assert time.monotonic() - started < 30
    assert ended.value.code == 2
    printed = capsys.readouterr().out
    told = json.loads(printed)
    assert told["level"] == "error"
    parts = {finding["part"] for finding in told["findings"]}
    assert {check.part for check in checks.of(["away"])} <= parts | {
        "watchers",
        "notifications",
        "cluster away: watcher",
    }
    for finding in told["findings"]:
        assert finding["level"] == "ok" or finding["advice"], finding
    assert "planted-password" not in printed


def test_a_cluster_that_nobody_knows() -> None:
    with pytest.raises(CommandError, match="There is no cluster 'nowhere'"):
        call_command("doctor", "--cluster", "nowhere")
    assert django_settings.CLUSTERS
