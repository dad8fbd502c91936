"""`kubectl exec` runs a single command in a container and shows what it prints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from healing.sandbox.ports import Object
from tests.parts.kubectl import Kubectl
from tests.sandbox_api.lived import lived_shop
from tests.sandbox_api.running import RunningApi


@pytest.fixture(scope="module")
def shop() -> Iterator[RunningApi]:
    with RunningApi(server=lived_shop()) as api:
        yield api


@pytest.fixture(scope="module")
def kubectl(shop: RunningApi, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return Kubectl(shop.kubeconfig(tmp_path_factory.mktemp("kubectl")))


def _pod(shop: RunningApi, app: str, *, lost: bool = False) -> str:
    def of(pod: Object) -> bool:
        return (pod["spec"].get("nodeName") == "node3") == lost

    pods = shop.call(lambda: list(shop.server.list("pods", "shop", {"app": app})))
    return next(str(pod["metadata"]["name"]) for pod in pods if of(pod))


def test_a_mounted_file_can_be_read(shop: RunningApi, kubectl: Kubectl) -> None:
    text = kubectl("exec", "-n", "shop", _pod(shop, "catalog"), "--", "cat", "/etc/shop/config.yaml")
    config = shop.call(lambda: shop.server.get("configmaps", "shop", "shop-config"))
    assert config is not None
    assert text.strip() == config["data"]["config.yaml"].strip()


def test_a_command_that_fails_says_why(shop: RunningApi, kubectl: Kubectl) -> None:
    done = kubectl.run("exec", "-n", "shop", _pod(shop, "catalog"), "-c", "catalog", "--", "cat", "/tmp/absent")
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "command terminated with exit code 1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("-i", "POD", "--", "sh"), "the sandbox runs single commands only, without a terminal"),
        (("POD", "-c", "nobody", "--", "ls"), "container nobody is not valid for pod"),
        (("LOST", "--", "ls"), "error dialing backend: dial tcp"),
        (("absent", "--", "ls"), 'pods "absent" not found'),
    ],
)
def test_what_cannot_be_done_is_refused(
    shop: RunningApi, kubectl: Kubectl, arguments: tuple[str, ...], refusal: str
) -> None:
    names = {"POD": _pod(shop, "catalog"), "LOST": _pod(shop, "gateway", lost=True)}
    done = kubectl.run("exec", "-n", "shop", *(names.get(word, word) for word in arguments))
    assert done.returncode != 0
    assert refusal in done.stderr
