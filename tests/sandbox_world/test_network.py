"""Which traffic NetworkPolicies let through, and where host names lead."""

from __future__ import annotations

from healing.sandbox.ports import Object
from healing.sandbox.world.network import allowed, may_resolve_names, resolve
from tests.sandbox_world.lab import NAMESPACE, PERSON, Lab
from tests.sandbox_world.test_workloads import in_lab


async def shop(lab: Lab) -> tuple[Object, Object, Object]:
    """A web pod, a db pod with a named port, and a visitor from another namespace."""
    lab.deployment("web")
    lab.deployment("db", container={"ports": [{"name": "sql", "containerPort": 80}]})
    lab.service("db", {"name": "sql", "port": 5432, "targetPort": "sql"}, {"app": "db"})
    lab.cluster.create("namespaces", None, {"metadata": {"name": "ops", "labels": {"team": "ops"}}}, user=PERSON)
    body = {
        "metadata": {"name": "visitor", "labels": {"app": "visitor"}},
        "spec": {"containers": [{"name": "v", "image": "registry.local/web:1.0"}]},
    }
    lab.cluster.create("pods", "ops", body, user=PERSON)
    await lab.until(lambda: lab.is_rolled_out("web") and lab.is_rolled_out("db"))
    await lab.until(
        lambda: (lab.cluster.get("pods", "ops", "visitor") or {}).get("status", {}).get("phase") == "Running"
    )
    visitor = lab.cluster.get("pods", "ops", "visitor")
    assert visitor is not None
    return lab.pods("web")[0], lab.pods("db")[0], visitor


def policy(lab: Lab, name: str, spec: Object) -> None:
    lab.create("networkpolicies.networking.k8s.io", {"metadata": {"name": name}, "spec": spec})


def test_ingress_rules() -> None:
    async def scene(lab: Lab) -> None:
        web, db, visitor = await shop(lab)
        assert allowed(lab.cluster, web, db, 80)
        policy(lab, "deny", {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"]})
        assert not allowed(lab.cluster, web, db, 80)
        assert not allowed(lab.cluster, None, db, 80)
        assert allowed(lab.cluster, db, web, 80), "only db is closed"
        policy(lab, "web", {
            "podSelector": {"matchLabels": {"app": "db"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": "sql"}]}],
        })  # fmt: skip
        assert allowed(lab.cluster, web, db, 80)
        assert not allowed(lab.cluster, web, db, 81)
        assert not allowed(lab.cluster, visitor, db, 80)
        policy(lab, "ops", {
            "podSelector": {},
            "ingress": [{
                "from": [{"namespaceSelector": {"matchLabels": {"team": "ops"}}}],
                "ports": [{"port": 70, "endPort": 90}],
            }],
        })  # fmt: skip
        assert allowed(lab.cluster, visitor, db, 80)
        assert not allowed(lab.cluster, visitor, db, 91)
        assert not allowed(lab.cluster, db, web, 80), "an empty selector closes every pod of the namespace"

    in_lab(scene)


def test_egress_rules_and_names() -> None:
    async def scene(lab: Lab) -> None:
        web, db, visitor = await shop(lab)
        selector = {"matchLabels": {"app": "web"}}
        assert may_resolve_names(lab.cluster, web)
        policy(lab, "quarantine", {"podSelector": selector, "policyTypes": ["Ingress", "Egress"]})
        assert not allowed(lab.cluster, web, db, 80)
        assert not may_resolve_names(lab.cluster, web)
        address = db["status"]["podIP"]
        policy(lab, "dns", {
            "podSelector": selector, "policyTypes": ["Egress"],
            "egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"port": 53, "protocol": "UDP"}]},
                       {"to": [{"ipBlock": {"cidr": f"{address}/24", "except": [f"{address}/32"]}}]}],
        })  # fmt: skip
        assert may_resolve_names(lab.cluster, web)
        assert not allowed(lab.cluster, web, db, 80), "its address is an exception"
        assert allowed(lab.cluster, visitor, db, 80)
        lab.cluster.delete("networkpolicies.networking.k8s.io", NAMESPACE, "dns", user=PERSON)
        lab.cluster.delete("networkpolicies.networking.k8s.io", NAMESPACE, "quarantine", user=PERSON)
        assert allowed(lab.cluster, web, db, 80)

    in_lab(scene)


def test_names_lead_to_ready_pods() -> None:
    async def scene(lab: Lab) -> None:
        _web, db, _ = await shop(lab)
        for host in ("db", f"db.{NAMESPACE}", f"db.{NAMESPACE}.svc", f"db.{NAMESPACE}.svc.cluster.local."):
            found = resolve(lab.cluster, NAMESPACE, host, 5432)
            assert [(b.pod["metadata"]["name"], b.port) for b in found.backends] == [(db["metadata"]["name"], 80)]
        address = lab.get("services", "db")["spec"]["clusterIP"]
        assert resolve(lab.cluster, "ops", address, 5432).backends
        assert resolve(lab.cluster, "ops", "db", 5432).error == "unknown-host"
        assert resolve(lab.cluster, NAMESPACE, "db", 80).error == "unknown-port"
        lab.mutate("services", "db", lambda s: s["spec"]["ports"][0].update(targetPort="sqll"))
        assert resolve(lab.cluster, NAMESPACE, "db", 5432).error == "unknown-port"
        lab.mutate("services", "db", lambda s: s["spec"]["ports"][0].update(targetPort=81))
        assert resolve(lab.cluster, NAMESPACE, "db", 5432).backends[0].port == 81
        lab.mutate("services", "db", lambda s: s["spec"].update(selector={"app": "nothing"}))
        assert resolve(lab.cluster, NAMESPACE, "db", 5432).error == "no-endpoints"

    in_lab(scene)
