"""Objects that Argo CD or Flux keep as a repository says."""

from __future__ import annotations

import json

import pytest

from healing.sandbox.ports import GitOpsOwner, Object, User
from tests.sandbox_world.lab import NAMESPACE, Lab
from tests.sandbox_world.test_workloads import in_lab, set_image

OWNER = GitOpsOwner("Deployment", NAMESPACE, "web", "argocd", "shop", sync_seconds=5)


def image(lab: Lab) -> str:
    return str(lab.get("deployments.apps", "web")["spec"]["template"]["spec"]["containers"][0]["image"])


def managers(item: Object) -> set[tuple[str, str]]:
    return {(e["manager"], e["operation"]) for e in item["metadata"]["managedFields"] if not e.get("subresource")}


@pytest.mark.parametrize("tool", ["argocd", "flux"])
def test_foreign_changes_are_put_back_and_commits_are_followed(tool: str) -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment()
        await lab.until(lab.is_rolled_out)
        lab.world.own([GitOpsOwner("Deployment", NAMESPACE, "web", tool, "shop", 5)])  # type: ignore[arg-type]
        metadata = lab.get("deployments.apps", "web")["metadata"]
        if tool == "argocd":
            assert metadata["annotations"]["argocd.argoproj.io/tracking-id"] == "shop:apps/Deployment:shop/web"
            assert metadata["labels"]["app.kubernetes.io/instance"] == "shop"
            assert ("argocd-controller", "Apply") in managers({"metadata": metadata})
        else:
            assert metadata["labels"]["kustomize.toolkit.fluxcd.io/name"] == "shop"
            assert metadata["labels"]["kustomize.toolkit.fluxcd.io/namespace"] == "flux-system"
            assert ("kustomize-controller", "Apply") in managers({"metadata": metadata})
        assert not any(name.startswith("kubectl") for name, _ in managers({"metadata": metadata}))
        await lab.sleep(1)
        settled = lab.get("deployments.apps", "web")
        await lab.sleep(20)
        assert lab.get("deployments.apps", "web") == settled, "nothing to put back"

        lab.mutate("deployments.apps", "web", set_image("registry.local/web:1.1"))
        await lab.sleep(4)
        assert image(lab) == "registry.local/web:1.1"
        await lab.until(lambda: image(lab) == "registry.local/web:1.0", 3)

        name = {"argocd": "argocd-controller", "flux": "kustomize-controller"}[tool]
        committer = User(tool, ("system:masters",), name)
        lab.cluster.mutate("deployments.apps", NAMESPACE, "web", set_image("registry.local/web:1.1"), user=committer)
        await lab.sleep(15)
        assert image(lab) == "registry.local/web:1.1", "the repository says so now"
        lab.mutate("deployments.apps", "web", set_image("registry.local/web:1.0"))
        await lab.until(lambda: image(lab) == "registry.local/web:1.1", 6)

    in_lab(scene)


def test_what_the_repository_does_not_mention_is_left_alone_and_what_is_deleted_comes_back() -> None:
    async def scene(lab: Lab) -> None:
        made = lab.deployment()
        written = {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {k: v for k, v in made["spec"].items() if k in ("selector", "template")},
        }  # fmt: skip
        note = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(written)}
        lab.mutate("deployments.apps", "web", lambda item: item["metadata"].update(annotations=note))
        lab.world.own([OWNER])
        lab.mutate("deployments.apps", "web", lambda item: item["spec"].update(replicas=3))
        await lab.sleep(12)
        assert lab.get("deployments.apps", "web")["spec"]["replicas"] == 3, "an autoscaler may set it"
        lab.delete("deployments.apps", "web")
        assert lab.cluster.get("deployments.apps", NAMESPACE, "web") is None
        await lab.until(lambda: lab.cluster.get("deployments.apps", NAMESPACE, "web") is not None, 8)
        await lab.until(lab.is_rolled_out)

    in_lab(scene)


def test_only_what_exists_can_be_owned() -> None:
    async def scene(lab: Lab) -> None:
        with pytest.raises(KeyError, match="there is none"):
            lab.world.own([OWNER])

    in_lab(scene)
