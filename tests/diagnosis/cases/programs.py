"""What is wrong in the template or the program: settings, credentials, resources, probes, images."""

from __future__ import annotations

from tests.diagnosis.cases import case
from tests.diagnosis.cases.storage import unscheduled
from tests.diagnosis.world import World, ago, container, crashed, waiting


def edited(who: str, seconds: float, fields: str) -> dict[str, object]:
    return {"managedFields": [{"manager": who, "operation": "Update", "time": ago(seconds), "fieldsV1": {fields: {}}}]}


def calls(*urls: str, **more: object) -> list[dict[str, object]]:
    return [container(env=[{"name": f"UPSTREAM_{i}_URL", "value": url} for i, url in enumerate(urls)], **more)]


def postgres(world: World, name: str = "db") -> None:
    world.deployment(name, [container(image="postgres:16", ports=[{"containerPort": 5432}])], replicas=1)
    world.service(name, port=5432, target=5432)


@case("WrongCredentials", "Secret", "db-credentials")
def secret_holds_a_wrong_password(world: World) -> None:
    postgres(world)
    world.add("Secret", "db-credentials", data={"password": ""}, metadata=edited("kubectl-edit", 300, "f:data"))
    env = [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db-credentials", "key": "password"}}}]
    env.append({"name": "DATABASE_URL", "value": "postgres://app@db:5432/shop"})
    world.deployment("orders", [container(env=env)], failing=crashed(1), replicas=1)
    world.pods("orders")[0]["metadata"]["creationTimestamp"] = ago(200)
    said = (
        'connection to server at "db" (10.96.0.7), port 5432 failed:'
        ' FATAL:  password authentication failed for user "app"'
    )
    world.log(world.pods("orders")[0], f"psycopg.OperationalError: {said}", previous=True)


@case("WrongCredentials", "Deployment", "db")
def password_was_rotated_under_its_clients(world: World) -> None:
    postgres(world)
    for name in ("orders", "billing", "reports"):
        world.deployment(name, calls("postgres://app@db:5432/shop"), replicas=1)
        said = (
            "failed to connect to `host=db user=app database=shop`: server error (FATAL: password authentication failed"
        )
        line = f'2026-05-04T09:59:{{:02d}}Z ERROR {said} for user "app" (SQLSTATE 28P01))'
        world.log_lines(name, line, range(20, 58, 4))


@case("ReadOnlyDependency", "Deployment", "db")
def database_takes_no_writes(world: World) -> None:
    postgres(world)
    world.deployment("orders", calls("postgres://app@db:5432/shop"), replicas=1)
    line = "2026-05-04T09:59:{:02d}Z ERROR insert failed: ERROR: cannot execute INSERT in a read-only transaction"
    world.log_lines("orders", line)


@case("ConnectionPoolExhausted", "Deployment", "db")
def database_has_too_many_clients(world: World) -> None:
    postgres(world)
    for name in ("orders", "billing"):
        world.deployment(name, calls("postgres://app@db:5432/shop"), replicas=1)
        line = "2026-05-04T09:59:{:02d}Z ERROR db: FATAL: sorry, too many clients already (SQLSTATE 53300)"
        world.log_lines(name, line)


@case("ConnectionPoolExhausted", "Deployment", "orders")
def pool_of_the_client_is_empty(world: World) -> None:
    postgres(world)
    world.deployment("orders", calls("postgres://app@db:5432/shop"), replicas=1)
    line = (
        "2026-05-04 09:59:{:02d}.120 ERROR 1 --- [nio-8080-exec-7]"
        " c.e.Orders : HikariPool-1 - Connection is not available,"
        " request timed out after 30000ms"
    )
    world.log_lines("orders", line)


@case("CertificateExpired", "Deployment", "vault")
def certificate_of_a_server_has_expired(world: World) -> None:
    world.deployment("vault", [container(ports=[{"containerPort": 8443}])], replicas=1)
    world.service("vault", port=8443, target=8443)
    world.deployment("orders", calls("https://vault:8443/v1"), replicas=1)
    line = (
        '2026-05-04T09:59:{:02d}Z ERROR Get "https://vault:8443/v1": tls:'
        " failed to verify certificate: x509: certificate has"
        " expired or is not yet valid: current time 2026-05-04T09:59:40Z is after 2026-05-03T23:59:59Z"
    )
    world.log_lines("orders", line)


@case("WrongDependencyPort", "Deployment", "orders")
def one_caller_has_a_wrong_port(world: World) -> None:
    postgres(world)
    old, new = calls("postgres://app@db:5432/shop"), calls("postgres://app@db:5433/shop")
    world.deployment("orders", new, before=old, failing=crashed(1))
    said = "failed to connect to `host=db user=app database=shop`: dial tcp 10.96.0.3:5433: i/o timeout"
    world.log(world.pods("orders", 2)[0], f"2026-05-04T09:59:40Z FATAL {said}", previous=True)


@case("WrongDependencyPort", "ConfigMap", "orders-config")
def a_config_map_has_a_wrong_port(world: World) -> None:
    postgres(world)
    data = {"DATABASE_URL": "postgres://app@db:15432/shop"}
    world.add("ConfigMap", "orders-config", data=data, metadata=edited("kubectl-edit", 300, "f:data"))
    world.deployment("orders", [container(envFrom=[{"configMapRef": {"name": "orders-config"}}])], failing=crashed(1))
    said = (
        "org.postgresql.util.PSQLException: Connection to db:15432"
        " refused. Check that the hostname and port are correct"
    )
    for pod in world.pods("orders"):
        world.log(pod, f"2026-05-04T09:59:40Z ERROR {said}", previous=True)


@case("ServiceMissing", "Service", "catalog")
def somebody_deleted_the_service(world: World) -> None:
    world.deployment("catalog")
    for name in ("front", "search"):
        world.deployment(name, calls("http://catalog:80"), replicas=1)
        line = (
            "2026-05-04T09:59:{:02d}Z ERROR Get http://catalog/: dial tcp:"
            " lookup catalog on 10.96.0.10:53: no such host"
        )
        world.log_lines(name, line)
        world.service(name)


@case("DNSFailure", "Deployment", "front")
def dns_policy_of_a_workload(world: World) -> None:
    world.deployment("catalog")
    world.service("catalog")
    spec = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}}
    world.deployment("front", calls("http://catalog"), replicas=1, spec=spec)
    line = "2026-05-04T09:59:{:02d}Z ERROR Get http://catalog/: dial tcp: lookup catalog on 1.1.1.1:53: no such host"
    world.log_lines("front", line)


@case("InitContainerFailed", "Deployment", "front")
def init_container_hangs(world: World) -> None:
    init = [{"name": "migrate", "image": "r/migrate:2", "command": ["sleep", "infinity"]}]
    world.deployment("front", failing=waiting("PodInitializing"), replicas=1, spec={"initContainers": init})
    pod = world.pods("front")[0]
    pod["status"]["phase"] = "Pending"
    pod["status"]["initContainerStatuses"] = [
        {"name": "migrate", "ready": False, "restartCount": 0, "state": {"running": {"startedAt": ago(1800)}}}
    ]


@case("ContainerCannotStart", "Deployment", "front")
def image_of_another_architecture(world: World) -> None:
    world.deployment(
        "front", [container(image="r/front:arm")], before=[container(image="r/front:1")], failing=crashed(255)
    )
    world.log(world.pods("front", 2)[0], "exec /usr/bin/front: exec format error", previous=True)


@case("MemoryLimitTooLow", "Deployment", "cache")
def limit_lowered_too_far(world: World) -> None:
    small = container(resources={"limits": {"memory": "20Mi"}})
    world.deployment("cache", [small], before=[container()], failing=crashed(137, "OOMKilled", lived=1), replicas=1)


@case("CommandNotFound", "Deployment", "front")
def entrypoint_has_a_typo(world: World) -> None:
    message = (
        "failed to create containerd task: failed to create shim task: OCI"
        " runtime create failed: runc create failed: unable"
        ' to start container process: exec: "/app/sevrer": stat /app/sevrer: no such file or directory: unknown'
    )
    status = crashed(128, "StartError")
    status["lastState"]["terminated"]["message"] = message
    world.deployment("front", [container(command=["/app/sevrer"])], before=[container()], failing=status)


@case("LivenessProbeMisconfigured", "Deployment", "front")
def liveness_probe_gives_no_time(world: World) -> None:
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 3, "failureThreshold": 1}
    failing = crashed(137, "Error", lived=4)
    world.deployment("front", [container(livenessProbe=probe)], before=[container()], failing=failing)
    pod = world.pods("front", 2)[0]
    refused = 'Get "http://10.244.1.9:8080/healthz": dial tcp 10.244.1.9:8080: connect: connection refused'
    world.event(pod, "Unhealthy", f"Liveness probe failed: {refused}")
    world.event(pod, "Killing", "Container app failed liveness probe, will be restarted", kind="Normal")


@case("ReadinessProbeMisconfigured", "Deployment", "front")
def readiness_probe_asks_a_wrong_port(world: World) -> None:
    probe = {"httpGet": {"path": "/", "port": 9090}}
    unready = {"state": {"running": {"startedAt": ago(110)}}, "ready": False, "restartCount": 0}
    world.deployment("front", [container(readinessProbe=probe)], before=[container()], failing=unready)
    refused = 'Get "http://10.244.1.9:9090/": dial tcp 10.244.1.9:9090: connect: connection refused'
    world.event(world.pods("front", 2)[0], "Unhealthy", f"Readiness probe failed: {refused}")


@case("TopologySpreadUnsatisfied", "Deployment", "front")
def spread_over_zones_that_are_not_there(world: World) -> None:
    world.node("node-a")
    world.deployment("front", failing=waiting("ContainerCreating"), failing_pods=1)
    message = (
        "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label)."
    )
    unscheduled(world, "front", message)


@case("TooManyPods", "Deployment", "front")
def nodes_take_no_more_pods(world: World) -> None:
    world.node("node-a")
    world.deployment("front", failing=waiting("ContainerCreating"), failing_pods=1)
    unscheduled(world, "front", "0/1 nodes are available: 1 Too many pods. preemption: 0/1 nodes are available.")


@case("NodeSelectorMismatch", "Deployment", "front")
def node_that_does_not_exist(world: World) -> None:
    world.node("node-a")
    spec = {"nodeSelector": {"kubernetes.io/hostname": "extra-node"}}
    world.deployment("front", failing=waiting("ContainerCreating"), failing_pods=1, spec=spec)
    unscheduled(world, "front", "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")


@case("PodSecurityViolation", "Deployment", "front")
def pod_security_refuses(world: World) -> None:
    made = world.deployment("front", replicas=2, failing_pods=0)
    said = 'pods "front-7d" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
    rs = world.snapshot.owned(made, "ReplicaSet")[0]
    world.event(rs, "FailedCreate", f'Error creating: {said} (container "app" must set it)')


@case("AdmissionWebhookUnavailable", "Deployment", "front")
def webhook_does_not_answer(world: World) -> None:
    made = world.deployment("front", replicas=2, failing_pods=0)
    rs = world.snapshot.owned(made, "ReplicaSet")[0]
    said = (
        'Internal error occurred: failed calling webhook "inject.mesh.io": failed to call webhook: Post'
        ' "https://injector.mesh.svc:443/inject?timeout=10s": no endpoints available for service "injector"'
    )
    world.event(rs, "FailedCreate", f"Error creating: {said}")


@case("ScaledToZero", "Deployment", "checker")
def nobody_answers_for_a_webhook(world: World) -> None:
    new, old = container(image="r/front:2"), container(image="r/front:1")
    made = world.deployment("front", [new], before=[old], replicas=2, failing={}, failing_pods=0)
    guard = World("guard")
    guard._number = 700
    guard.deployment("checker", replicas=0, labels={"app": "checker"})
    guard.service("checker", port=443, target=8443)
    for kind in ("Deployment", "ReplicaSet", "Service"):
        for obj in guard.snapshot.of_kind(kind):
            world.snapshot.add(obj)
    rs = next(x for x in world.snapshot.owned(made, "ReplicaSet") if not x["status"]["replicas"])
    said = (
        'Internal error occurred: failed calling webhook "validate.policy.example": failed to call webhook: Post'
        ' "https://checker.guard.svc:443/validate?timeout=5s": no endpoints available for service "checker"'
    )
    world.event(rs, "FailedCreate", f"Error creating: {said}")


@case("ApplicationNotReady", "Deployment", "ingest")
def a_pod_hangs_long_after_it_could_not_resolve_a_name(world: World) -> None:
    probe = {"httpGet": {"path": "/livez", "port": 8080}, "periodSeconds": 5, "failureThreshold": 2}
    spec = calls("http://vehicles")[0] | {"livenessProbe": probe}
    status = {"state": {"running": {"startedAt": ago(200)}}, "ready": False, "restartCount": 1}
    status["lastState"] = {"terminated": {"exitCode": 137, "finishedAt": ago(205), "startedAt": ago(900)}}
    world.deployment("ingest", [spec], replicas=3, failing=status)
    world.deployment("vehicles")
    world.service("vehicles")
    pod = world.pods("ingest")[0]
    for other in world.pods("ingest")[1:]:
        other["status"]["containerStatuses"][0] = {"name": "app", "state": {"running": {}}, "ready": True}
        other["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    said = 'Liveness probe failed: Get "http://10.88.2.4:8080/livez": context deadline exceeded (Client.Timeout)'
    world.event(pod, "Unhealthy", said, since=220)
    world.event(pod, "Killing", "Container app failed liveness probe, will be restarted", kind="Normal", count=1)
    lines = [f"{ago(899)} ERROR dial tcp: lookup vehicles on 10.96.0.10:53: server misbehaving"]
    lines += [f"{ago(890 - n)} INFO GET /positions 200" for n in range(0, 670, 10)]
    world.log(pod, "\n".join(lines), previous=True)


@case("PortConflict", "Deployment", "front")
def two_containers_want_one_port(world: World) -> None:
    two = [container("app"), container("sidecar", image="r/proxy:1")]
    world.deployment("front", two, before=[container("app")], failing=crashed(1))
    world.log(world.pods("front", 2)[0], "Error: listen EADDRINUSE: address already in use :::8080", previous=True)


@case("ApplicationCrash", "StatefulSet", "queue")
def stateful_set_crashes_on_its_data(world: World) -> None:
    made = world.add(
        "StatefulSet",
        "queue",
        spec={
            "replicas": 1,
            "selector": {"matchLabels": {"app": "queue"}},
            "template": world._template([container()], {"app": "queue"}, None),
        },
        status={"replicas": 1},
        metadata={"generation": 1},
    )
    world._pod(made, "queue-0", made["spec"]["template"], {"app": "queue"}, 4000, crashed(1), "node-a")
    own = {"kind": "StatefulSet", "name": "queue", "uid": made["metadata"]["uid"], "controller": True}
    world.snapshot.get("Pod", "shop", "queue-0")["metadata"]["ownerReferences"] = [own]  # type: ignore[index]
    pod = world.snapshot.get("Pod", "shop", "queue-0")
    assert pod is not None
    world.snapshot.add(pod)
    trace = (
        'Exception in thread "main" java.lang.IllegalStateException: segment 4 is corrupt\n'
        "\tat io.queue.Log.open(Log.java:88)\nCaused by: java.io.EOFException\n\t... 12 more"
    )
    world.log(pod, f"starting\n{trace}\n", previous=True)


@case("WrongCredentials", "Deployment", "statements")
def a_password_was_pasted_wrongly(world: World) -> None:
    """The database says so as well, and another client of it is well."""
    postgres(world)
    env = calls("postgres://app@db:5432/shop")[0]
    right = {**env, "env": [*env["env"], {"name": "DB_PASSWORD", "value": "old-otter"}]}
    wrong = {**env, "env": [*env["env"], {"name": "DB_PASSWORD", "value": "quiet-otter"}]}
    world.deployment("statements", [wrong], before=[right], replicas=2)
    world.deployment("transfers", [right], replicas=1)
    line = '{} ERROR cannot query db:5432: password authentication failed for user "app"'
    for pod in world.pods("statements", 2):
        world.log(pod, "\n".join(line.format(ago(n)) for n in range(50, 1, -4)))
    said = '{} FATAL:  password authentication failed for user "app"'
    database = next(p for p in world.snapshot.of_kind("Pod") if p["metadata"]["name"].startswith("db"))
    world.log(database, "\n".join(said.format(ago(n)) for n in range(50, 1, -4)))


@case("MissingConfigMap", "ConfigMap", "layout")
def a_config_map_was_deleted(world: World) -> None:
    """The pods that run have it mounted; one that was started anew finds nothing."""
    mount = container(volumeMounts=[{"name": "layout", "mountPath": "/etc/layout"}])
    volumes = {"volumes": [{"name": "layout", "configMap": {"name": "layout"}}]}
    world.deployment("statements", [mount], replicas=3, failing_pods=3, spec=volumes)
    pod = world.pods("statements")[0]
    creating = waiting("ContainerCreating")
    pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "app", **creating}]}
    said = 'MountVolume.SetUp failed for volume "layout" : configmap "layout" not found'
    world.event(pod, "FailedMount", said)


@case("MissingConfigMap", "Deployment", "fresh")
def a_config_map_never_was_there(world: World) -> None:
    env = [{"configMapRef": {"name": "settings"}}]
    failing = waiting("CreateContainerConfigError", 'configmap "settings" not found')
    world.deployment("fresh", [container(envFrom=env)], replicas=1, failing=failing)


@case("WrongDependencyAddress", "ConfigMap", "common-settings")
def an_address_in_a_shared_config_map_names_no_namespace_there_is(world: World) -> None:
    data = {"STORE_URL": "http://store.postbox-eu:7000"}
    world.add("ConfigMap", "common-settings", data=data, metadata=edited("kubectl-patch", 300, "f:data"))
    world.deployment("store", replicas=1)
    world.service("store", port=7000)
    source = [{"configMapRef": {"name": "common-settings"}}]
    line = (
        "{} ERROR [http-nio-8080-exec-10] c.e.inbox - call to store.postbox-eu:7000 failed: I/O error on GET request"
        ' for "http://store.postbox-eu:7000/": store.postbox-eu: Name or service not known upstream=store'
    )
    for name in ("inbox", "outbox"):
        world.deployment(name, [container(envFrom=source)], replicas=1)
        world.log(world.pods(name)[0], "\n".join(line.format(ago(n)) for n in range(50, 1, -4)))


@case("MemoryLeak", "Deployment", "appointments")
def one_pod_leaks_for_half_a_minute(world: World) -> None:
    """Its siblings do with a quarter of the same limit."""
    world.deployment("appointments", replicas=3)
    ill, *others = world.pods("appointments")
    died = {"exitCode": 137, "reason": "OOMKilled", "startedAt": ago(53), "finishedAt": ago(5)}
    ill["status"]["containerStatuses"][0] = {
        "name": "app",
        "ready": False,
        "restartCount": 1,
        "state": {"running": {"startedAt": ago(4)}},
        "lastState": {"terminated": died},
    }
    name = "container_memory_working_set_bytes"
    mib = 2.0**20
    growing = [60 * mib] * 5 + [(60 + 32 * n) * mib for n in range(1, 7)] + [20 * mib]
    world.series(name, growing, step=5, pod=ill["metadata"]["name"], container="app")
    for pod in others:
        world.series(name, [62 * mib] * 16, step=5, pod=pod["metadata"]["name"], container="app")


@case("WrongCredentials", "Deployment", "orders")
def a_password_was_rotated_and_its_client_not_started_again(world: World) -> None:
    """Nobody may read Secrets; the client has run for long with what it read at its start."""
    postgres(world)
    env = calls("postgres://db:5432/shop")[0]["env"]
    password = {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db-credentials", "key": "password"}}}
    world.deployment("orders", [container(env=[*env, password])], replicas=1)
    line = '{} ERROR cannot query db:5432: FATAL: password authentication failed for user "app"'
    world.log(world.pods("orders")[0], "\n".join(line.format(ago(n)) for n in range(50, 1, -4)))
    database = next(p for p in world.snapshot.of_kind("Pod") if p["metadata"]["name"].startswith("db"))
    said = '{} FATAL:  password authentication failed for user "app"'
    world.log(database, "\n".join(said.format(ago(n)) for n in range(50, 1, -4)))
