"""The chart as helm renders it."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from recist_web.environment import PROJECT_DIR
from tests.parts.tools import tool

CHART = PROJECT_DIR / "helm" / "recist"
EVERYTHING = Path(__file__).with_name("everything.yaml")
OWN_STORES = Path(__file__).with_name("own-stores.yaml")
Object = dict[str, Any]


def helm(*arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    where = ["--kubeconfig", str(kubeconfig)] if kubeconfig else []
    return subprocess.run(
        [tool("helm"), *arguments, *where], capture_output=True, text=True, check=False, cwd=PROJECT_DIR, timeout=120
    )


@functools.cache
def template(*arguments: str) -> str:
    done = helm("template", "recist", str(CHART), "--namespace", "recist-system", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(*arguments: str) -> list[Object]:
    return [document for document in yaml.safe_load_all(template(*arguments)) if document]


def refused(*arguments: str) -> str:
    """What helm says of values that it does not take."""
    done = helm("template", "recist", str(CHART), "--namespace", "recist-system", *arguments)
    assert done.returncode != 0, "it was rendered all the same"
    return done.stderr


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [found for found in objects if found["kind"] == kind]


def named(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = [entry for entry in of_kind(objects, kind) if entry["metadata"]["name"] == name]
    return found


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """(name, pod template) of everything that starts pods."""
    for found in objects:
        if found["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield found["metadata"]["name"], found["spec"]["template"]


def containers(template: Mapping[str, Any]) -> list[Object]:
    return [*template["spec"].get("initContainers", ()), *template["spec"]["containers"]]


def hook_of(found: Object) -> str:
    return str((found["metadata"].get("annotations") or {}).get("helm.sh/hook", ""))
