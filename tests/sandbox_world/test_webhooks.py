"""Admission webhooks that cannot be reached stop what they are asked about."""

from __future__ import annotations

import pytest

from healing.sandbox.api.webhooks import Review
from healing.sandbox.ports import ApiError, Object
from tests.sandbox_world.lab import PERSON, Lab
from tests.sandbox_world.test_workloads import in_lab, scale

VALIDATING = "validatingwebhookconfigurations.admissionregistration.k8s.io"


def configuration(policy: str = "Fail", **more: object) -> Object:
    rule = {"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    service = {"namespace": "shop", "name": "guard", "path": "/validate"}
    webhook = {"name": "guard.example.com", "rules": [rule], "clientConfig": {"service": service},
               "failurePolicy": policy, "sideEffects": "None", "admissionReviewVersions": ["v1"], **more}  # fmt: skip
    return {"metadata": {"name": "guard"}, "webhooks": [webhook]}


def test_pods_are_refused_until_the_webhook_has_endpoints() -> None:
    async def scene(lab: Lab) -> None:
        made = lab.cluster.create(VALIDATING, None, configuration(), user=PERSON)
        assert made["webhooks"][0]["timeoutSeconds"] == 10
        with pytest.raises(ApiError) as refused:
            lab.create("pods", {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "a", "image": "a"}]}})
        url = "https://guard.shop.svc:443/validate?timeout=10s"
        start = 'Internal error occurred: failed calling webhook "guard.example.com": failed to call webhook: '
        assert str(refused.value) == f'{start}Post "{url}": service "guard" not found'
        assert (refused.value.code, refused.value.reason) == (500, "InternalError")
        lab.deployment()
        lab.service("guard", selector={"app": "guard"})
        await lab.until(lambda: any(
            'no endpoints available for service "guard"' in e["message"] for e in lab.events("FailedCreate")
        ))  # fmt: skip
        conditions = {c["type"]: c["reason"] for c in lab.get("deployments.apps", "web")["status"]["conditions"]}
        assert conditions["ReplicaFailure"] == "FailedCreate"
        lab.cluster.delete(VALIDATING, None, "guard", user=PERSON)
        lab.deployment("guard")
        await lab.until(lambda: lab.is_rolled_out("guard"))
        lab.cluster.create(VALIDATING, None, configuration(), user=PERSON)
        lab.mutate("deployments.apps", "web", scale(2))
        await lab.until(lab.is_rolled_out, 60)
        lab.cluster.webhook_call = lambda *_: Review("context deadline exceeded")
        with pytest.raises(ApiError, match="context deadline exceeded"):
            lab.mutate("pods", lab.pods()[0]["metadata"]["name"], lambda p: p["metadata"]["labels"].update(a="b"))

    in_lab(scene)


@pytest.mark.parametrize(
    "lenient",
    [configuration("Ignore"), configuration(namespaceSelector={"matchLabels": {"guarded": "yes"}}),
     configuration(objectSelector={"matchLabels": {"guarded": "yes"}})],
)  # fmt: skip
def test_who_is_not_concerned_passes(lenient: Object) -> None:
    async def scene(lab: Lab) -> None:
        lab.cluster.create(VALIDATING, None, lenient, user=PERSON)
        lab.deployment()
        await lab.until(lab.is_rolled_out)

    in_lab(scene)


def test_a_webhook_that_denies_is_quoted() -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment("guard")
        lab.service("guard", selector={"app": "guard"})
        await lab.until(lambda: lab.is_rolled_out("guard"))
        await lab.sleep(2)
        lab.cluster.create(VALIDATING, None, configuration(), user=PERSON)
        asked = []

        def answer(_service: Object, _timeout_seconds: float, request: Object) -> Review:
            asked.append(request["operation"])
            return Review(denied="team" not in request["object"]["metadata"]["labels"], message="say whose it is")

        lab.cluster.webhook_call = answer
        lab.deployment()
        await lab.until(lambda: lab.events("FailedCreate", "ReplicaSet"))
        words = 'Error creating: admission webhook "guard.example.com" denied the request: say whose it is'
        assert {e["message"] for e in lab.events("FailedCreate")} == {words}
        lab.mutate("deployments.apps", "web", lambda d: d["spec"]["template"]["metadata"]["labels"].update(team="a"))
        await lab.until(lab.is_rolled_out)
        assert asked

    in_lab(scene)
