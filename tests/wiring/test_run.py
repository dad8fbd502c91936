"""`manage.py run` on a cluster that somebody else has started: what is told, and what is healed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml

from recist_web.environment import PROJECT_DIR
from recist_web.supervisor.ports import free_port
from tests.cluster.sandbox import RunningSandbox, running_sandbox
from tests.parts.kubectl import Kubectl
from tests.parts.tools import tool

_Found = TypeVar("_Found")
POLICY = """
apiVersion: recist.io/v1alpha1
kind: SelfHealingPolicy
metadata: {name: shop, namespace: default}
spec:
  targetNamespaces: [shop]
  allowedActions: [restart, rollback]
  approval: {mode: never}
"""
BAD_IMAGE = "registry.example.com/shop/catalog:9.9.9"


@pytest.fixture(scope="module")
def somebodys_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """The shop without faults, without our resource types."""
    directory = tmp_path_factory.mktemp("somebodys-cluster")
    with running_sandbox(directory, scenario="shop", with_crds=False) as sandbox:
        yield sandbox


class Run:
    """A running `manage.py run`."""

    def __init__(self, var: Path, *arguments: str) -> None:
        self.var = var
        self.output = var.with_suffix(".txt")
        kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "SECRET_KEY")}
        environment = {**kept, "VAR_DIR": str(var), "PORT": str(free_port())}
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run", *arguments],
                cwd=PROJECT_DIR,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def logs(self) -> str:
        """What all processes have logged."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.var.glob("clusters/*/log/*.log")))

    def wait_for(self, look: Callable[[], _Found | None], what: str, seconds: float) -> _Found:
        deadline = time.monotonic() + seconds
        while True:
            if found := look():
                return found
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s\n{self.said}\n{self.logs()[-6000:]}"
            time.sleep(0.2)

    def wait_until_ready(self) -> str:
        """Its URL."""
        pattern = re.compile(r"ReCiSt is ready:  (http://\S+)/")
        return self.wait_for(lambda: pattern.search(self.said), "ReCiSt is ready", 120).group(1)

    @contextlib.contextmanager
    def http(self) -> Iterator[httpx.Client]:
        """Signed in with the password that was printed."""
        found = re.search(r"sign in as\s+(\S+)\s+password\s+(\S+)", self.said)
        assert found, self.said
        with httpx.Client(base_url=self.wait_until_ready(), timeout=60, trust_env=False) as client:
            client.get("/login/")
            form = {"username": found[1], "password": found[2], "csrfmiddlewaretoken": client.cookies["csrftoken"]}
            client.post("/login/", data=form, headers={"Referer": str(client.base_url)})
            assert "sessionid" in client.cookies
            client.headers.update({"X-CSRFToken": client.cookies["csrftoken"], "Referer": str(client.base_url)})
            yield client


@contextlib.contextmanager
def running(var: Path, *arguments: str) -> Iterator[Run]:
    """`manage.py run` until the end of the block; Ctrl-C ends it, with everything it started."""
    run = Run(var, *arguments)
    try:
        yield run
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(60) == 0, run.said
    finally:
        run.process.kill()
        run.process.wait()


def healed(kubectl: Kubectl, name: str) -> bool:
    rows = [line.split() for line in kubectl("get", "he", "--namespace", "shop", "--no-headers").splitlines()]
    return any("healed" in row and any(name in word for word in row) for row in rows)


def serves_the_old_image(kubectl: Kubectl, deployment: str) -> bool:
    found = yaml.safe_load(kubectl("get", "deployment", deployment, "--namespace", "shop", "--output", "yaml"))
    image = found["spec"]["template"]["spec"]["containers"][0]["image"]
    status = found["status"]
    return image != BAD_IMAGE and status.get("availableReplicas") == found["spec"]["replicas"]


# --- what is told ------------------------------------------------------------------------------------------------


def refused(*arguments: str, var: Path, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "SECRET_KEY")}
    done = subprocess.run(
        [sys.executable, "manage.py", "run", *arguments],
        cwd=PROJECT_DIR,
        env={**kept, "VAR_DIR": str(var), "PORT": str(free_port()), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in (1, 2), done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def kubeconfig(path: Path, **changes: Any) -> Path:
    """A kubeconfig with one context `theirs`; `server`, `token` and `current` as given."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "theirs", "cluster": {"server": changes.get("server", "http://127.0.0.1:1")}}],
        "users": [{"name": "me", "user": {"token": changes.get("token", "wrong")}}],
        "contexts": [{"name": "theirs", "context": {"cluster": "theirs", "user": "me"}}],
        "current-context": changes.get("current", "theirs"),
    }
    path.write_text(yaml.safe_dump(content))
    return path


def server_of(sandbox: RunningSandbox) -> str:
    return str(yaml.safe_load(sandbox.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])


def test_a_kubeconfig_that_cannot_be_used_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "prose").write_text("key: [unfinished")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "nothing").write_text("")
    usable = kubeconfig(tmp_path / "usable")
    cases = {
        (str(tmp_path / "missing"),): r"no kubeconfig at .*missing.*--kubeconfig",
        (str(tmp_path),): r"is a directory",
        (str(tmp_path / "prose"),): r"prose is not a kubeconfig",
        (str(tmp_path / "bytes"),): r"cannot be read: it is not a text file",
        (str(tmp_path / "nothing"),): r"it has no contexts",
        (str(kubeconfig(tmp_path / "undecided", current="")),): r"no current context.*--context: theirs",
        (str(usable), "--context", "other"): r"no context 'other'.*--context: theirs",
        (str(usable), "--prometheus", "localhost:9090"): r"'localhost:9090' is not a URL: write it as http://",
        (str(usable),): r"(?s)'theirs'.*cannot be reached.*Is it running.*kubectl --kubeconfig .* version",
    }
    for arguments, pattern in cases.items():
        assert re.search(pattern, refused("--kubeconfig", *arguments, var=tmp_path / "var")), arguments
    assert not (tmp_path / "var" / "clusters").exists()


def test_credentials_that_do_not_suffice_are_told_with_what_to_do(
    somebodys_cluster: RunningSandbox, tmp_path: Path
) -> None:
    server, admin = server_of(somebodys_cluster), Kubectl(somebodys_cluster.kubeconfig)
    wrong = kubeconfig(tmp_path / "wrong", server=server)
    assert re.search(r"(?s)Unauthorized.*Sign in again", refused("--kubeconfig", str(wrong), var=tmp_path / "var"))

    admin("create", "serviceaccount", "nobody", "--namespace", "default")
    token = admin("create", "token", "nobody", "--namespace", "default").strip()
    nobody = str(kubeconfig(tmp_path / "nobody", server=server, token=token))
    said = refused("--kubeconfig", nobody, var=tmp_path / "var")
    assert re.search(
        r"(?s)may not get, list and watch pods.*nor in its namespace default.*--namespace"
        r".*helm/recist/templates/rbac.yaml",
        said,
    ), said
    said = refused("--kubeconfig", nobody, "--apply-crds", var=tmp_path / "var")
    assert re.search(r"(?s)cannot be applied: .*forbidden.*kubectl apply -f helm/recist/crds/", said), said


# --- what is healed ----------------------------------------------------------------------------------------------


@pytest.mark.tree
@pytest.mark.timeout(300)
def test_an_unknown_cluster_is_healed_first_without_and_then_with_our_resource_types(
    somebodys_cluster: RunningSandbox, tmp_path: Path
) -> None:
    """By its admin, without Prometheus and Loki."""
    kubectl = Kubectl(somebodys_cluster.kubeconfig)
    given = ("--kubeconfig", str(somebodys_cluster.kubeconfig))
    with running(tmp_path / "var", *given) as run:
        url = run.wait_until_ready()
        assert "does not know healingevents.recist.io, selfhealingpolicies.recist.io" in run.said
        assert "--apply-crds" in run.said
        spec = yaml.safe_load(POLICY)["spec"]
        with run.http() as client:
            answer = client.post("/api/v1/policies", json={"name": "shop", "spec": spec})
            assert answer.status_code == 201, answer.text
            kubectl("set", "image", "deployment/catalog", f"catalog={BAD_IMAGE}", "--namespace", "shop")

            def is_healed() -> bool:
                found = client.get("/api/v1/events").json()["items"]
                return any(event["outcome"] == "healed" for event in found)

            run.wait_for(is_healed, "the event is healed", 100)
        assert serves_the_old_image(kubectl, "catalog")
        assert url.startswith("http://127.0.0.1:")

    with running(tmp_path / "other-var", *given, "--apply-crds") as run:
        run.wait_until_ready()
        assert "Applied healingevents.recist.io, selfhealingpolicies.recist.io" in run.said
        kubectl("apply", "--filename", "-", stdin=POLICY)
        kubectl("set", "image", "deployment/cart", f"cart={BAD_IMAGE}", "--namespace", "shop")
        run.wait_for(lambda: healed(kubectl, "cart"), "the HealingEvent says that it is healed", 100)
        assert serves_the_old_image(kubectl, "cart")
    kubectl("delete", "shp", "shop", "--namespace", "default")


@pytest.mark.tree
@pytest.mark.timeout(300)
def test_the_shipped_roles_suffice(somebodys_cluster: RunningSandbox, tmp_path: Path) -> None:
    """A ServiceAccount with the chart's roles and nothing else; an admin has applied what `run` asks for."""
    admin = Kubectl(somebodys_cluster.kubeconfig)
    chart = [str(tool("helm")), "template", "recist", "helm/recist", "--namespace", "recist-system"]
    roles = subprocess.check_output([*chart, "--show-only", "templates/rbac.yaml"], text=True, cwd=PROJECT_DIR)
    admin("apply", "--filename", "helm/recist/crds")
    if "recist-system" not in admin("get", "namespaces"):
        admin("create", "namespace", "recist-system")
    admin("apply", "--namespace", "recist-system", "--filename", "-", stdin=roles)
    token = admin("create", "token", "recist", "--namespace", "recist-system").strip()
    path = kubeconfig(tmp_path / "recist", server=server_of(somebodys_cluster), token=token)

    with httpx.Client(base_url=server_of(somebodys_cluster), trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        assert client.get("/api/v1/pods").status_code == 200
        assert client.get("/api/v1/secrets").status_code == 403
        assert client.get("/api/v1/namespaces/shop/secrets").status_code == 403

    urls = ("--prometheus", somebodys_cluster.prometheus, "--loki", somebodys_cluster.loki)
    with running(tmp_path / "var", "--kubeconfig", str(path), *urls) as run:
        run.wait_until_ready()
        assert "may not" not in run.said
        assert "does not know" not in run.said
        admin("apply", "--filename", "-", stdin=POLICY)
        admin("set", "image", "deployment/orders", f"orders={BAD_IMAGE}", "--namespace", "shop")
        run.wait_for(lambda: healed(admin, "orders"), "the HealingEvent says that it is healed", 100)
        assert serves_the_old_image(admin, "orders")
        policy = yaml.safe_load(admin("get", "shp", "shop", "--namespace", "default", "--output", "yaml"))
        assert policy["status"]["conditions"][0]["status"] == "True"
        refusals = [line for line in run.logs().splitlines() if "cannot " in line and "User" in line]
        assert refusals == []
    admin("delete", "shp", "shop", "--namespace", "default")
