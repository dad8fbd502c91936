"""What a new revision brings: settings, names, users, init containers, and what only looks like its fault."""

from __future__ import annotations

from tests.diagnosis.cases import case
from tests.diagnosis.cases.programs import calls, edited
from tests.diagnosis.test_workloads import _counter
from tests.diagnosis.world import World, ago, container, crashed, waiting


@case("WrongDependencyAddress", "Deployment", "front")
def a_rollout_brought_a_typo(world: World) -> None:
    world.deployment("catalog")
    world.service("catalog")
    world.deployment("front", calls("http://cataloge"), before=calls("http://catalog"), failing=crashed(1))
    world.log(world.pods("front", 2)[0], "Error: getaddrinfo ENOTFOUND cataloge", previous=True)


@case("ScaledToZero", "StatefulSet", "ledger-db")
def a_new_revision_starts_after_its_database_went(world: World) -> None:
    """The old pods stay ready, for they ask for the database at their start only."""
    template = world._template([container(image="postgres:16", ports=[{"containerPort": 5432}])], {"app": "db"}, None)
    meta = edited("kubectl-scale", 300, "f:spec")
    world.add("StatefulSet", "ledger-db", spec={"replicas": 0, "template": template}, metadata=meta)
    world.service("ledger-db", {"app": "db"}, port=5432, target=5432)
    env = calls("postgres://app@ledger-db:5432/ledger")
    new, old = [{**env[0], "image": "r/statements:3"}], [{**env[0], "image": "r/statements:2"}]
    world.deployment("statements", new, before=old, failing=crashed(1), rolled_out=60)
    said = f"{ago(21)} FATAL cannot start: dial tcp ledger-db:5432: connect: connection refused"
    world.log(world.pods("statements", 2)[0], said, previous=True)


@case("QuotaExceeded", "ResourceQuota", "small")
def a_quota_was_lowered_before_a_release(world: World) -> None:
    """The release asks for no more than what ran before."""
    quota = {"hard": {"limits.memory": "300Mi"}, "used": {"limits.memory": "256Mi"}}
    meta = edited("kubectl-edit", 600, "f:spec")
    world.add("ResourceQuota", "small", spec={"hard": quota["hard"]}, status=quota, metadata=meta)
    new, old = [container(image="r/rooms:2")], [container(image="r/rooms:1")]
    made = world.deployment("rooms", new, before=old, replicas=2, failing={}, failing_pods=0, rolled_out=120)
    rs = next(x for x in world.snapshot.owned(made, "ReplicaSet") if not x["status"]["replicas"])
    said = (
        'Error creating: pods "rooms-x" is forbidden: exceeded quota: small, requested: limits.memory=256Mi, used:'
        " limits.memory=256Mi, limited: limits.memory=300Mi"
    )
    world.event(rs, "FailedCreate", said)


@case("WrongDependencyAddress", "Deployment", "scoring")
def a_release_asks_for_a_name_of_another_namespace_that_is_not_there(world: World) -> None:
    market = World("market")
    market._number = 600
    market.deployment("rates", replicas=1)
    market.service("rates", port=8000)
    for kind in ("Deployment", "ReplicaSet", "Pod", "Service"):
        for obj in market.snapshot.of_kind(kind):
            world.snapshot.add(obj)
    world.add("Namespace", "market", "")
    new, old = calls("http://rates-v2.market:8000"), calls("http://rates.market:8000")
    world.deployment("scoring", new, before=old, replicas=2)
    said = "{} ERROR GET http://rates-v2.market:8000/: dial tcp: lookup rates-v2.market on 10.96.0.10:53: no such host"
    for pod in world.pods("scoring", 2):
        world.log(pod, "\n".join(said.format(ago(n)) for n in range(50, 1, -4)))
        labels = {"pod": pod["metadata"]["name"]}
        world.series("http_requests_total", _counter([8.0] * 40 + [0.0] * 10), code="200", **labels)
        world.series("http_requests_total", _counter([0.0] * 40 + [8.0] * 10), code="502", **labels)


@case("PermissionDenied", "Deployment", "reports")
def a_release_runs_as_another_user(world: World) -> None:
    new, old = [container(securityContext={"runAsUser": 10001})], [container(securityContext={"runAsUser": 0})]
    world.deployment("reports", new, before=old, failing=crashed(1))
    said = "PermissionError: [Errno 13] Permission denied: '/var/lib/reports/index'"
    world.log(world.pods("reports", 2)[0], said, previous=True)


@case("WrongConfiguration", "ConfigMap", "audit")
def a_restart_read_a_setting_that_was_changed_before(world: World) -> None:
    world.add("ConfigMap", "audit", data={"AUDIT_MODE": "verbosely"}, metadata=edited("kubectl-edit", 200, "f:data"))
    same = [container(envFrom=[{"configMapRef": {"name": "audit"}}])]
    world.deployment("ledger", same, before=same, failing=crashed(1), rolled_out=150)
    said = 'FATAL invalid configuration: AUDIT_MODE: unknown mode "verbosely"'
    world.log(world.pods("ledger", 2)[0], said, previous=True)


@case("InitContainerFailed", "Deployment", "statements")
def a_release_brought_an_init_container_that_fails(world: World) -> None:
    old = world.deployment("statements", [container(image="r/s:1")], before=[container(image="r/s:1")], failing={})
    migrate = container("migrate", "busybox:1.36")
    new = next(x for x in world.snapshot.owned(old, "ReplicaSet") if "r2" in x["metadata"]["name"])
    for template in (old["spec"]["template"], new["spec"]["template"]):
        template["spec"]["initContainers"] = [migrate]
    pod = world.pods("statements", 2)[0]
    pod["spec"]["initContainers"] = [migrate]
    pod["status"]["initContainerStatuses"] = [{"name": "migrate", **crashed(3)}]
    pod["status"]["containerStatuses"] = [{"name": "app", **waiting("PodInitializing")}]
    world.log(pod, 'ERROR: relation "iban_index" already exists', name="migrate", previous=True)
