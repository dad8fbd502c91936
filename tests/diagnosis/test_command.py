"""`manage.py diagnose` as people call it: a process, files in every layout, broken ones."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from healing.diagnosis.catalogue import CAUSES, markdown
from healing.policies.spec import ActionName
from tests.diagnosis import recorded

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout, stderr. In this process: the real one is tried in `test_as_a_process`."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("diagnose", *map(str, arguments), stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    return 0, out.getvalue(), err.getvalue()


def findings(*arguments: str | Path) -> list[dict[str, Any]]:
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    parsed: dict[str, Any] = json.loads(out)
    return list(parsed["findings"])


def a_list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


@pytest.fixture
def crash(tmp_path: Path) -> Path:
    """A bad rollout, one file a kind as `kubectl get KIND -A -o json` prints it, with a log."""
    directory = tmp_path / "snapshot"
    directory.mkdir()
    items = recorded.objects("rollout-crashing-image")
    for kind in {item["kind"] for item in items}:
        mine = [item for item in items if item["kind"] == kind]
        (directory / f"{kind.lower()}s.json").write_text(json.dumps(a_list(mine)))
    pod = next(i for i in items if i["kind"] == "Pod" and not i["status"]["containerStatuses"][0]["ready"])
    logs = directory / "logs" / pod["metadata"]["namespace"] / pod["metadata"]["name"]
    logs.mkdir(parents=True)
    (logs / "web.previous.log").write_text("starting\nFATAL out of luck at /src/main.c:7 password=hunter2\n")
    return directory


def test_a_directory(crash: Path) -> None:
    found = findings(crash)[0]
    assert (found["cause"], found["object"]) == (
        "BadRollout",
        {"kind": "Deployment", "namespace": "rollout-crashing-image", "name": "web"},
    )
    assert 0 < found["confidence"] <= 1
    assert found["suggestedActions"] == ["rollback"]
    assert {"evidence", "explanation", "cause", "object", "confidence", "suggestedActions"} <= found.keys()
    texts = " ".join(e["text"] for e in found["evidence"])
    assert "out of luck" in texts
    assert "hunter2" not in texts


def test_as_a_process_without_database_and_network(crash: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "diagnose", str(crash), "--json"]
    env = {"PATH": "/usr/bin:/bin", "VAR_DIR": str(tmp_path / "nowhere"), "DATABASE_URL": "postgres://x@127.0.0.1:9/x"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["findings"][0]["cause"] == "BadRollout"
    command[3] = str(tmp_path / "absent")
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=env, cwd=tmp_path)
    assert done.returncode == 2
    assert "absent" in done.stderr


@pytest.mark.parametrize("prefix", ["", "./", "some/where/"])
def test_an_archive(crash: Path, tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "snapshot.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(p for p in crash.rglob("*") if p.is_file()):
            archive.add(file, prefix + file.relative_to(crash).as_posix())
    assert findings(path) == findings(crash)


def test_yaml_lists_and_documents(tmp_path: Path) -> None:
    items = recorded.objects("oomkilled")
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(a_list(items[: len(items) // 2])))
    (tmp_path / "rest.yml").write_text(yaml.safe_dump_all(items[len(items) // 2 :]))
    assert [f["cause"] for f in findings(tmp_path)] == ["MemoryLimitTooLow"]


def test_times_in_yaml_without_quotes(tmp_path: Path) -> None:
    items = recorded.objects("oomkilled")
    text = yaml.safe_dump(a_list(items)).replace("'2026-", "2026-").replace("Z'", "Z")
    (tmp_path / "all.yaml").write_text(text)
    assert [f["cause"] for f in findings(tmp_path)] == ["MemoryLimitTooLow"]


def test_a_cluster_info_dump(tmp_path: Path) -> None:
    items = recorded.objects("crashloop")
    directory = tmp_path / "crashloop"
    directory.mkdir()
    for kind in ("Pod", "ReplicaSet", "Deployment", "Event"):
        mine = [{k: v for k, v in i.items() if k not in ("kind", "apiVersion")} for i in items if i["kind"] == kind]
        name = {"Pod": "pods", "ReplicaSet": "replicasets", "Deployment": "deployments", "Event": "events"}[kind]
        (directory / f"{name}.json").write_text(json.dumps({"kind": f"{kind}List", "apiVersion": "v1", "items": mine}))
    (tmp_path / "nodes.json").write_text(json.dumps({"kind": "NodeList", "apiVersion": "v1", "items": []}))
    pod = next(i["metadata"]["name"] for i in items if i["kind"] == "Pod")
    (directory / pod).mkdir()
    (directory / pod / "logs.txt").write_text(
        f"==== START logs for container api of pod crashloop/{pod} ====\n"
        "FATAL: required environment variable QUOTES_REGION is not set\n"
        f"==== END logs for container api of pod crashloop/{pod} ====\n"
    )
    assert findings(tmp_path)[0]["cause"] == "MissingEnvironmentVariable"


def test_metrics_and_alerts(tmp_path: Path) -> None:
    items = recorded.objects("oomkilled")
    pod = next(i for i in items if i["kind"] == "Pod")
    (tmp_path / "objects.json").write_text(json.dumps(items))
    metric = {"__name__": "container_memory_working_set_bytes", "container": "cache"}
    metric |= {"namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"]}
    (tmp_path / "metrics.json").write_text(json.dumps([{"metric": metric, "values": [[1, "10"], [2, "NaN"]]}]))
    (tmp_path / "alerts.json").write_text(json.dumps([{"labels": {"alertname": "ContainerOOM"}}]))
    code, out, _ = run(tmp_path, "--json")
    parsed = json.loads(out)
    assert code == 0
    assert "metrics" not in parsed["missingSources"]
    assert "logs" in parsed["missingSources"]
    assert [f["cause"] for f in parsed["findings"]] == ["MemoryLimitTooLow"]


def test_one_namespace_of_several(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(a_list(recorded.objects("oomkilled"))))
    (tmp_path / "b.json").write_text(json.dumps(a_list(recorded.objects("crashloop"))))
    assert {f["object"]["namespace"] for f in findings(tmp_path)} == {"oomkilled", "crashloop"}
    assert {f["object"]["namespace"] for f in findings(tmp_path, "--namespace", "crashloop")} == {"crashloop"}
    code, out, err = run(tmp_path, "--namespace", "nowhere", "--json")
    assert (code, json.loads(out)["findings"]) == (0, [])
    assert "crashloop, oomkilled" in err


def test_healthy(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text(json.dumps(a_list(recorded.objects("deployment-ready"))))
    assert findings(tmp_path) == []
    code, out, _ = run(tmp_path)
    assert code == 0
    assert "Nothing wrong" in out


def test_for_people(crash: Path) -> None:
    code, out, _ = run(crash)
    assert code == 0
    assert "1. BadRollout on Deployment rollout-crashing-image/web" in out
    assert "Roll back" in out


BROKEN = {
    "truncated.json": b'{"kind": "List", "items": [{"kind": "Pod"',
    "binary.yaml": bytes(range(256)),
    "wrong.yaml": b"a: [1, 2\nb: }",
    "number.json": b"17",
    "metrics.json": b'[{"metric": {}, "values": [[1]]}]',
    "alerts.json": b'"none"',
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named_and_the_others_go_on(crash: Path, name: str) -> None:
    (crash / name).write_bytes(BROKEN[name])
    code, out, message = run(crash, "--json")
    assert code == 0, message
    parsed = json.loads(out)
    assert f"file {name}" in parsed["missingSources"]
    assert parsed["findings"][0]["cause"] == "BadRollout"


@pytest.mark.parametrize("name", BROKEN)
def test_where_nothing_can_be_used_the_broken_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BROKEN[name])
    code, _, message = run(tmp_path, "--json")
    assert code == 2
    assert name in message


def test_unusable_input(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    not_an_archive = tmp_path / "x.tar.gz"
    not_an_archive.write_bytes(b"no archive")
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(gzip.compress(b"\0" * 20_000)[:40])
    for path in (empty, not_an_archive, damaged, tmp_path / "absent"):
        code, _, message = run(path)
        assert code == 2
        assert path.name in message


def test_other_files_and_huge_logs_do_no_harm(crash: Path) -> None:
    (crash / "README.txt").write_text("notes")
    (crash / ".hidden.json").write_text("{")
    (crash / "values.json").write_text('{"replicas": 3}')
    log = next(crash.rglob("*.previous.log"))
    log.write_text("x" * 30_000_000 + "\nFATAL: required environment variable TOO_LATE is not set\n")
    assert "TOO_LATE" in json.dumps(findings(crash))


def test_the_page_of_causes_is_current() -> None:
    assert (ROOT / "docs" / "causes.md").read_text() == markdown()


def test_the_catalogue_names_actions_of_the_registry() -> None:
    assert {action for cause in CAUSES.values() for action in cause.actions} <= {str(name) for name in ActionName}
    assert all(code == cause.code and cause.fixes and cause.symptom for code, cause in CAUSES.items())
