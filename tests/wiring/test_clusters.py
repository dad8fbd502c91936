"""One cluster from the variables, or many from a file; what is wrong with the file is told, with the place."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st
from pytest_django import Settings

from healing.ports import get_ports
from recist_web import clusters
from recist_web.clusters import Clusters, ClustersFileError, ClusterTarget
from recist_web.environment import PROJECT_DIR, parse
from recist_web.supervisor.launch import Target, _entry


def write(directory: Path, content: Any) -> Path:
    path = directory / "clusters.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def of(**environ: str) -> Clusters:
    parsed = parse(environ)
    assert not parsed.problems
    return clusters.of(parsed.values)


def test_without_a_file_there_is_the_one_of_the_variables() -> None:
    found = of(
        CLUSTER_NAME="prod", KUBECONFIG="/k", KUBE_CONTEXT="c", PROMETHEUS_URL="http://p", POLICY_NAMESPACES="a,b"
    )
    assert found.by_name == {"prod": ClusterTarget("prod", Path("/k"), "c", "http://p", "http://loki:3100", ("a", "b"))}
    assert found.default == "prod"
    assert of().by_name == {
        "default": ClusterTarget("default", None, None, "http://prometheus:9090", "http://loki:3100")
    }


@pytest.mark.parametrize("key", ["", "clusters"])
def test_a_file_lists_them_in_order_with_paths_relative_to_it(tmp_path: Path, key: str) -> None:
    listed = [
        {"name": "b", "kubeconfig": "kube/b", "context": "x", "prometheus": "http://p:1/", "loki": "off"},
        {"name": "a", "kubeconfig": "/etc/a", "policyNamespaces": ["platform"]},
        {"name": "home"},
    ]
    path = write(tmp_path, {key: listed} if key else listed)
    found = of(CLUSTERS_FILE=str(path), POLICY_NAMESPACES="all-of-us")
    assert list(found.by_name.values()) == [
        ClusterTarget("b", tmp_path / "kube/b", "x", "http://p:1", None, ("all-of-us",)),
        ClusterTarget("a", Path("/etc/a"), policy_namespaces=("platform",)),
        ClusterTarget("home", policy_namespaces=("all-of-us",)),
    ]
    assert (found.default, found.problems) == ("b", ())
    assert of(CLUSTERS_FILE=str(path), CLUSTER_NAME="home").default == "home"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is not a list of clusters"),
        ("name: x", "is not a list of clusters"),
        ("[]", "lists no cluster"),
        ("clusters: {}", "is not a list of clusters"),
        ("- a: [", "is not YAML"),
        ("- 2001-99-99", "is not YAML"),
        ("- shop", "entry 1 is not a mapping"),
        ("- {kubeconfig: k}", "entry 1: name: Field required"),
        ("- {name: A B}", r"entry 1 \(A B\): name: "),
        ("- {name: a}\n- {name: b, kubeconfg: k}", r"entry 2 \(b\): kubeconfg: Extra inputs"),
        ("- {name: a, prometheus: 'p:9090'}", r"entry 1 \(a\): prometheus: must be a URL such as http"),
        ("- {name: a, kubeconfig: 7}", r"entry 1 \(a\): kubeconfig: "),
        ("- {name: a, policyNamespaces: ['A_']}", "is not the name of a namespace"),
        ("- {name: a}\n- {name: a}", "entry 2: there are two clusters of the name a"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(tmp_path: Path, content: str, reason: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ClustersFileError, match=reason) as caught:
        clusters.read(path)
    assert str(path) in str(caught.value)
    found = of(CLUSTERS_FILE=str(path))
    assert [problem.variable for problem in found.problems] == ["CLUSTERS_FILE"]
    assert list(found.by_name) == ["default"]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "kubeconfig", "prometheus", "policyNamespaces", "clusters"]), inner)
    ),
    max_leaves=8,
)


@given(st.text(max_size=60) | st.binary(max_size=60) | _VALUES.map(yaml.safe_dump))
def test_no_file_ends_in_a_traceback(content: str | bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "clusters.yaml")
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        found = of(CLUSTERS_FILE=str(path))
    assert found.default in found.by_name
    assert {problem.variable for problem in found.problems} <= {"CLUSTERS_FILE"}


def test_a_default_that_the_file_does_not_list_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [{"name": "a"}, {"name": "b"}])
    (problem,) = of(CLUSTERS_FILE=str(path), CLUSTER_NAME="c").problems
    assert problem.variable == "CLUSTER_NAME"
    assert "which" in problem.message
    assert "a, b" in problem.hint


def test_check_names_the_file_and_the_reason(tmp_path: Path) -> None:
    environment = {**os.environ, "CLUSTERS_FILE": str(tmp_path / "gone.yaml"), "KUBECONFIG": "/k"}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(
        command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "recist.E001" in done.stderr
    assert "gone.yaml, which cannot be read: No such file" in " ".join(done.stderr.split())
    assert "recist.W002" in done.stderr
    assert "Traceback" not in done.stderr


def test_each_cluster_has_ports_of_its_own(settings: Settings, tmp_path: Path) -> None:
    settings.CLUSTERS = {
        "a": ClusterTarget("a", tmp_path / "gone", prometheus_url="http://p"),
        "b": ClusterTarget("b", loki_url="http://l"),
    }
    a, b = get_ports("a"), get_ports("b")
    assert (a.cluster_name, a.logs, b.cluster_name, b.metrics) == ("a", None, "b", None)
    assert a.metrics is not None
    assert b.logs is not None
    assert get_ports("a") is a
    with pytest.raises(LookupError, match="There is no cluster 'c' here; there is: a, b"):
        get_ports("c")


def test_what_the_tree_writes_is_what_is_read(tmp_path: Path) -> None:
    targets = [Target("a", Path("/k/a"), "ctx", "http://p", None), Target("b", tmp_path / "b")]
    path = write(tmp_path, [_entry(target) for target in targets])
    assert [
        Target(found.name, found.kubeconfig or Path(), found.context, found.prometheus_url, found.loki_url)
        for found in clusters.read(path).values()
    ] == targets


def test_names_in_messages_stay_few() -> None:
    assert clusters.some_of({str(n): n for n in range(12)}, at_most=2) == "0, 1 and 10 more"
