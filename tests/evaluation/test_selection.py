"""Files are found and checked before anything starts; what is wrong is told with file, line and reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from recist_web.evaluation.selection import SelectionError, select
from recist_web.evaluation.split import opened
from tests.evaluation import files

#: more text, the line of the mistake (0: its first), what is said, and what helps
BROKEN = [
    ("timeline:\n  - {at: 5s, fault: bad-imgae}\n", 1, "no fault named 'bad-imgae'", "did you mean 'bad-image'?"),
    (
        "timeline:\n  - at: 5s\n    fault: bad-image\n    params: {namespace: site, workload: web, colour: red}\n",
        3,
        "no parameter 'colour'",
        "it has namespace, workload",
    ),
    (
        "timeline:\n  - at: 5s\n    fault: bad-image\n    params:\n      namespace: site\n      workload: wbe\n",
        5,
        "workload: no 'wbe' in namespace 'site'",
        "there are web",
    ),
    (
        "timeline:\n  - at: 5s\n    fault: bad-image\n    params: {namespace: site, workload: web, container: app}\n",
        3,
        "no 'app' in site/web",
        "there are web",
    ),
    (
        "timeline:\n  - at: 5s\n    fault: cpu-hog\n    params: {namespace: site, workload: web, scope: planet}\n",
        3,
        "scope: 'planet' is none of process, pod, revision, workload",
        "",
    ),
    ("timeline:\n  - {at: 5 s, drain: node1}\n", 1, "'5 s' does not match", "timeline.0.at"),
    ("timeline:\n  - {at: 5s, drain: node7}\n", 1, "there is no Node node7", "there are node1"),
    (
        "timeline:\n  - {at: 5s, drain: node1, uncordon: node1}\n",
        1,
        "a step needs exactly one of fault, remove, apply, patch, delete",
        "",
    ),
    (
        "timeline:\n  - at: 5s\n    patch: {kind: Service, namespace: site, name: wbe, merge: {spec: {}}}\n",
        2,
        "there is no Service site/wbe",
        "there are web",
    ),
    ("timeline:\n  - {at: 5s, delete: {kind: ConfigMap, namespace: site, name: x}}\n", 1, "no ConfigMap site/x", ""),
    (
        "timeline:\n  - at: 5s\n    traffic: {namespace: site, service: web, port: 81, requestsPerSecond: 9}\n",
        2,
        "Service site/web has no port 81; it has 80",
        "",
    ),
    (
        "timeline:\n  - {at: 5s, id: a, drain: node1}\n  - {at: 9s, id: a, uncordon: node1}\n",
        2,
        "the id 'a' is used twice",
        "",
    ),
    ("timeline:\n  - {at: 5s, remove: a}\n", 1, "no step before this one has the id 'a'", ""),
    (
        "timeline:\n  - {at: 5s, id: d, drain: node1}\n  - {at: 9s, remove: d}\n",
        2,
        "the step 'd' is no fault; undo a change with another change",
        "",
    ),
    (
        (
            "timeline:\n  - {at: 9s, id: hog, fault: cpu-hog, params: {namespace: site, workload: web}}\n"
            "  - {at: 5s, remove: hog}\n"
        ),
        2,
        "'hog' is injected later, after 9 s",
        "",
    ),
    ("expectations:\n  - after: nothing\n    causes: [BadRollout]\n", 1, "no step has the id 'nothing'", ""),
    (
        "timeline:\n  - {at: 5s, id: d, drain: node1}\nexpectations:\n  - {after: d, causes: [BadRolout]}\n",
        3,
        "there is no cause code 'BadRolout'",
        "did you mean 'BadRollout'?",
    ),
    (
        (
            "timeline:\n  - {at: 5s, id: d, drain: node1}\nexpectations:\n  - after: d\n    causes: [BadRollout]\n"
            "    fixes:\n      - rolback\n"
        ),
        6,
        "there is no action 'rolback'",
        "did you mean 'rollback'?",
    ),
    (
        (
            "timeline:\n  - {at: 5s, id: d, drain: node1}\nexpectations:\n"
            "  - {after: d, causes: [BadRollout], fixes: [restart], forbidden: [restart]}\n"
        ),
        3,
        "'restart' cannot be both a fix and forbidden",
        "",
    ),
    (
        (
            "timeline:\n  - {at: 5s, id: d, drain: node1}\nexpectations:\n  - after: d\n    causes: [BadRollout]\n"
            "    mustNotAct: true\n    fixes: [restart]\n"
        ),
        6,
        "mustNotAct says that no action is right",
        "",
    ),
    (
        (
            "timeline:\n  - {at: 5s, id: d, drain: node1}\nexpectations:\n  - after: d\n    causes: [BadRollout]\n"
            "    well:\n      services: [site/web, shop/web]\n"
        ),
        6,
        "there is no Service shop/web",
        "",
    ),
    (
        (
            "timeline:\n  - {at: 5s, id: d, drain: node1}\nexpectations:\n  - after: d\n    causes: [BadRollout]\n"
            "    object: {kind: Deployment, namespace: site, name: shop}\n"
        ),
        5,
        "there is no Deployment site/shop",
        "there are web",
    ),
    (
        (
            "timeline:\n  - {at: 5s, id: d, drain: node1}\nexpectations:\n  - after: d\n    causes: [BadRollout]\n"
            "    remedy:\n      - uncordon: node1\n      - uncordon: node2\n"
        ),
        7,
        "there is no Node node2",
        "",
    ),
    (
        (
            "timeline:\n  - {at: 5s, id: d, drain: node1}\nexpectations:\n  - healthy: true\n"
            "  - {after: d, causes: [BadRollout]}\n"
        ),
        3,
        "healthy: true stands alone",
        "",
    ),
    ("expectations:\n  - healthy: maybe\n", 1, "expectations.0", ""),
    (
        "gitops:\n  - {kind: Deployment, namespace: site, name: wbe, tool: argocd, application: a}\n",
        1,
        "there is no Deployment site/wbe",
        "",
    ),
    ("gitops:\n  - {kind: Deployment, namespace: site, name: web, tool: jenkins, application: a}\n", 1, "jenkins", ""),
    (
        (
            "policies:\n  - apiVersion: recist.io/v1alpha1\n    kind: SelfHealingPolicy\n    metadata: {name: p}\n"
            "    spec: {targetNamespaces: [site], autonomie: heal}\n"
        ),
        1,
        "spec.autonomie: Extra inputs are not permitted",
        "",
    ),
    ("history:\n  - {deployment: site/web, container: app}\n", 1, "no 'app' in site/deployment/web", ""),
    ("colour: red\n", 0, "'colour' was unexpected", ""),
    ("seed: 1\nseed: 2\n", 1, "the key 'seed' is there twice", ""),
    ("timeline: [\n", 1, "expected the node content", ""),
    ("tags: &a [*a]\n", 0, "", ""),
]


@pytest.mark.parametrize(("more", "line", "reason", "hint"), BROKEN, ids=[case[2][:40] or case[0] for case in BROKEN])
def test_what_is_wrong_is_told_with_file_and_line(tmp_path: Path, more: str, line: int, reason: str, hint: str) -> None:
    before = files.HEAD % "x" + files.SITE
    text = before + more
    if "expectations:" not in more:
        text += "expectations:\n  - healthy: true\n" if more != "timeline: [\n" else ""
    path = files.write(tmp_path, x=text) / "x.yaml"
    with pytest.raises(SelectionError) as caught:
        select([tmp_path])
    prefix = f"{path}:{before.count(chr(10)) + 1 + line}: "
    found = [problem for problem in caught.value.problems if reason in problem]
    assert found, caught.value.problems
    if reason:
        assert found[0].startswith(prefix), found[0]
    assert hint in found[0]


def test_all_files_are_told_of_at_once_and_nothing_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.write(tmp_path, good=files.fault("good"), bad="nodes: 0\n", worse=files.HEAD % "worse" + "color: red\n")
    for arguments in (["--validate"], []):
        with pytest.raises(CommandError) as caught:
            call_command("evaluate", "--scenarios", str(tmp_path), *arguments)
        assert caught.value.returncode == 1
        told = capsys.readouterr().err
        assert f"{tmp_path}/bad.yaml:1: " in told
        assert f"{tmp_path}/worse.yaml:5: " in told
        assert "good.yaml" not in told


def test_a_good_directory_is_called_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.write(tmp_path, a=files.fault("a"), b=files.healthy("b"))
    call_command("evaluate", "--validate", "--scenarios", str(tmp_path))
    assert "2 scenarios, no problems." in capsys.readouterr().out


def test_the_bundled_ones_are_all_good() -> None:
    chosen = select([])
    assert len(chosen) >= 70
    assert sum(1 for c in chosen if c.family == "healthy") >= 15
    # Halves where nobody has looked; what was opened is dev, and enough has to be left that was not.
    sealed = {c.name for c in chosen if c.split == "sealed"}
    assert not sealed & opened()
    assert len(sealed) >= 50
    for chosen_one in chosen:
        assert chosen_one.scenario.path.stem == chosen_one.name


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    files.write(tmp_path, a=files.healthy("same"), b=files.healthy("same"))
    with pytest.raises(SelectionError, match="has the name 'same' too"):
        select([tmp_path])


def test_nothing_expected_is_refused(tmp_path: Path) -> None:
    files.write(tmp_path, a=files.HEAD % "a" + files.SITE)
    with pytest.raises(SelectionError, match=r"a\.yaml:1: nothing is expected"):
        select([tmp_path])


def test_only_some_of_them(tmp_path: Path) -> None:
    files.write(tmp_path, a=files.fault("a"), b=files.healthy("b"), broken="nodes: 0\n")
    [one] = select([tmp_path], only=["a"])
    assert (one.name, one.family) == ("a", "Network and services")
    with pytest.raises(SelectionError, match=r"There is no scenario aa\. Did you mean: a\?"):
        select([tmp_path], only=["aa"])


def test_the_split_is_that_of_all_whichever_are_run(tmp_path: Path) -> None:
    files.write(tmp_path, **{f"s{n}": files.healthy(f"s{n}") for n in range(6)})
    sides = {c.name: c.split for c in select([tmp_path])}
    assert sorted(sides.values()) == ["dev"] * 3 + ["sealed"] * 3
    for split in ("dev", "sealed"):
        assert {c.name for c in select([tmp_path], split=split)} == {n for n, s in sides.items() if s == split}
    [one] = select([tmp_path], only=["s3"])
    assert one.split == sides["s3"]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--scenarios", "nowhere"], 1, "1 problem"),
        (["--json", "nowhere/x.json"], 2, "nowhere is not a directory"),
    ],
)
def test_bad_usage(tmp_path: Path, arguments: list[str], code: int, reason: str) -> None:
    files.write(tmp_path, a=files.healthy("a"))
    with pytest.raises(CommandError, match=reason) as caught:
        call_command("evaluate", "--scenarios", str(tmp_path), *arguments)
    assert caught.value.returncode == code


def test_a_directory_without_scenarios_is_told(tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="there are no scenario files"):
        select([tmp_path])
