"""Which recorded kind of trouble each bundled fault is."""

from __future__ import annotations

from tests.sandbox_world.faults_shown import (
    CRASHING,
    HEALTHY,
    NO_IMAGE,
    NOT_READY,
    OUT_OF_MEMORY,
    Evicted,
    Recorded,
    Row,
)

#: with a readiness probe from the start, as the recorded pods had
AT_ONCE = {"readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 2}}
LIVENESS = {
    "livenessProbe": {
        "httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 3, "initialDelaySeconds": 6,
        "failureThreshold": 2,
    },
}  # fmt: skip
TLS = {
    "image": "registry.example.com/team/web:1.0",
    "ports": [{"name": "https", "containerPort": 8443}],
    "readinessProbe": {
        "httpGet": {"path": "/readyz", "port": "https", "scheme": "HTTPS"}, "initialDelaySeconds": 8,
    },
}  # fmt: skip
NO_FILE = "cat: can't open '/tmp/ok': No such file or directory"
NOT_LISTENING = 'Get "URL": dial tcp ADDRESS: connect: connection refused'
NO_ANSWER = 'Get "URL": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
REGISTRY_CLOSED = 'failed to do request: Head "URL": dial tcp ADDRESS: connect: connection refused'
LOST_NODE = Recorded("node-notready", "web", 70)


def unready(why: str) -> str:
    return f"Warning | Unhealthy | kubelet | Readiness probe failed: {why}"


def node(kind: str, recorded: Recorded | Evicted, *, first: bool = False) -> Row:
    name = f"node-{kind}"
    return Row(name, "node-failure", recorded, {"node": name, "kind": kind}, first=first)


ROWS = [
    # releases and edits of a workload
    Row("bad-rollout", "bad-rollout", CRASHING, container=AT_ONCE),
    Row("leaky-release", "leaky-release", OUT_OF_MEMORY, {"bytes_per_second": 32 << 20}),
    Row("failing-release", "failing-release", HEALTHY),
    # The recorded registry was a closed port, this one answers that it has no such tag.
    Row("bad-image", "bad-image", NO_IMAGE, instead={REGISTRY_CLOSED: "IMAGE: not found"}),
    Row("memory-limit-too-low", "memory-limit-too-low", OUT_OF_MEMORY),
    # Throttled, it needs minutes to start and does not listen until then.
    Row("cpu-limit-too-low", "cpu-limit-too-low", NOT_READY, instead={NO_FILE: NOT_LISTENING}),
    Row("wrong-env", "wrong-env", CRASHING, {"env": "ORDER_TTL_MINUTES", "value": "soon"}, container=AT_ONCE),
    Row("missing-env", "missing-env", CRASHING, {"env": "DATABASE_URL"}, container=AT_ONCE),
    Row("bad-command", "bad-command", Recorded("command-not-found", seconds=30)),
    Row("bad-probe-readiness", "bad-probe", Recorded("readiness-failing", "web-5c4986449b-dt4zr", 18.5)),
    Row(
        "bad-probe-liveness", "bad-probe", Recorded("liveness-wrong-port"), {"probe": "liveness"}, container=LIVENESS,
        # A wrong path is answered, a wrong port is not; and this program ends by itself when it is asked to.
        instead={NOT_LISTENING: "HTTP probe failed with statuscode: 404", "Error": "Completed",
                 "Exit Code: 137": "Exit Code: 0"},
    ),
    # of what belongs to it
    Row("missing-config-key", "missing-config-key", Recorded("missing-configmap")),
    Row("service-selector-typo", "service-selector-typo", Recorded("service-selector-matches-nothing"),
        {"service": "web"}),
    Row("service-wrong-port", "service-wrong-port", Recorded("service-wrong-targetport"), {"service": "web"}),
    Row("network-policy-deny", "network-policy-deny", Recorded("networkpolicy")),
    Row("rotated-password", "rotated-password", HEALTHY, app="db"),
    # programs that misbehave
    Row("memory-leak", "memory-leak", OUT_OF_MEMORY, {"bytes_per_second": 32 << 20}),
    Row("crash", "crash", CRASHING, container=AT_ONCE),
    Row("hang", "hang", NOT_READY, instead={NO_FILE: NO_ANSWER}),
    Row("harmless-restart", "harmless-restart", Recorded("oomkilled", seconds=9),
        instead={"OOMKilled": "Completed", "Exit Code: 137": "Exit Code: 0"}),
    Row("cpu-hog", "cpu-hog", HEALTHY),
    Row("slow-dependency", "slow-dependency", HEALTHY, app="db"),
    Row("errors", "errors", HEALTHY),
    Row("lost-dependency", "lost-dependency", HEALTHY, {"env": "DATABASE_URL"}),
    Row("log-chatter", "log-chatter", HEALTHY),
    Row("disk-fill", "disk-fill", HEALTHY),
    Row("disk-fill-limited", "disk-fill",
        Evicted("Pod ephemeral local storage usage exceeds the total limit of containers 1Gi."), first=True,
        container={"resources": {"limits": {"ephemeral-storage": "1Gi"}}}),
    Row("read-only-database", "read-only-database", HEALTHY, app="db"),
    Row("connection-pool-exhausted", "connection-pool-exhausted", HEALTHY, app="db"),
    Row("certificate-expired", "certificate-expired", HEALTHY, container=TLS),
    Row("traffic-spike", "traffic-spike", HEALTHY, {"service": "web"}),
    # the network, machines, and what is outside
    Row("network-delay", "network-delay", HEALTHY),
    Row("network-delay-node", "network-delay", HEALTHY, {"node": "network-delay-node"}),
    # Now and then a probe is lost, too.
    Row("packet-loss", "packet-loss", HEALTHY, also=(unready(NO_ANSWER),)),
    Row("dns-down", "dns-failure", CRASHING, app="coredns", alone=True),
    Row("dns-slow", "dns-failure", HEALTHY, {"mode": "slow"}, app="coredns", alone=True,
        also=(unready(NOT_LISTENING),)),  # while it started
    node("kubelet-stopped", LOST_NODE),
    node("down", LOST_NODE),
    # The kubelet is there and says so: nobody marks its pods before they are evicted.
    node("runtime-down", HEALTHY),
    node("network-unavailable", HEALTHY),
    node("memory-pressure", Evicted("The node was low on resource: memory."), first=True),
    node("disk-pressure", Evicted("The node was low on resource: ephemeral-storage."), first=True),
    node("pid-pressure", Evicted("The node was low on resource: pids."), first=True),
    Row("clock-skew", "clock-skew", HEALTHY, {"node": "clock-skew"}),
    Row("registry-unreachable", "registry-outage", NO_IMAGE, {"registry": "one.example.com", "mode": "unreachable"},
        release="one.example.com/team/web:2.0"),
    Row("registry-timeout", "registry-outage", NO_IMAGE, {"registry": "two.example.com"},
        release="two.example.com/team/web:2.0", instead={"connect: connection refused": "i/o timeout"}),
    Row("external-outage", "external-outage", HEALTHY, {"host": "api.example.com"}),
    Row("kube-proxy", "control-plane-failure", HEALTHY, {"component": "kube-proxy", "node": "kube-proxy"}),
    Row("scheduler", "control-plane-failure", HEALTHY, {"component": "scheduler"}, alone=True),
    Row("controller-manager", "control-plane-failure", HEALTHY, {"component": "controller-manager"}, alone=True),
]  # fmt: skip
