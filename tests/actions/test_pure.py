"""Labels, quantities, diffs and operations: no cluster."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from healing.actions import labels, operations, quantities, registry
from healing.actions.template_patch import diff
from healing.actions.update_config import with_config_of
from healing.policies.spec import ActionName
from healing.ports import ObjectRef

REF = ObjectRef("Deployment", "shop", "api")


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", "0.5"), ("2", "2"), ("1.5", "1.5"), ("64Mi", str(64 * 2**20)), ("1e3", "1000"), ("1k", "1000"),
     (".5", "0.5"), ("1E", str(10**18)), ("100n", "1e-7"), ("0", "0")],
)  # fmt: skip
def test_quantities_are_read(text: str, value: str) -> None:
    assert quantities.parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "Mi", "1 Mi", "1mi", "abc", "1.2.3", "--1"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        quantities.parse(text)


@given(st.integers(min_value=1, max_value=2**45))
def test_memory_is_never_rounded_down(value: int) -> None:
    assert quantities.parse(quantities.memory(Decimal(value))) >= value


@pytest.mark.parametrize(
    ("sent", "kept"), [("2000m", "2"), ("1024Mi", "1Gi"), ("0.5", "500m"), ("1e3", "1k"), ("1.0", "1")]
)
def test_what_the_api_server_writes_in_its_own_way_is_still_what_was_sent(sent: str, kept: str) -> None:
    def pod(text: str) -> dict[str, Any]:
        return {"spec": {"containers": [{"name": "web", "image": "a", "resources": {"limits": {"cpu": text}}}]}}

    def whole(text: str) -> dict[str, Any]:
        step = {"op": "replace", "path": "/spec", "value": pod(text)["spec"]}
        return operations.patch(REF, [step], "json")

    assert operations.contains(pod(kept), pod(sent))
    assert operations._matches(pod(kept), whole(sent))
    path = {"op": "add", "path": "/spec/containers/0/resources/limits/cpu", "value": sent}
    assert operations._matches(pod(kept), operations.patch(REF, [path], "json"))
    path = {"op": "add", "path": "/spec/containers/0/resources/limits", "value": {"cpu": sent}}
    assert operations._matches(pod(kept), operations.patch(REF, [path], "json"))
    assert not operations.contains(pod("3"), pod(sent))
    assert not operations._matches(pod("3"), whole(sent))
    # Elsewhere a text is a text.
    assert not operations.contains({"data": {"cpu": kept}}, {"data": {"cpu": sent}})
    step = {"op": "add", "path": "/data", "value": {"cpu": sent}}
    assert not operations._matches({"data": {"cpu": kept}}, operations.patch(REF, [step], "json"))


@pytest.mark.parametrize(("value", "text"), [("2", "2"), ("1.5", "1500m"), ("0.0001", "1m")])
def test_cores_are_written_as_the_api_server_does(value: str, text: str) -> None:
    assert quantities.cpu(Decimal(value)) == text


def test_selectors() -> None:
    selector = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["front", "edge"]},
            {"key": "canary", "operator": "DoesNotExist"},
        ],
    }
    assert labels.matches(selector, {"app": "web", "tier": "edge"})
    assert not labels.matches(selector, {"app": "web", "tier": "edge", "canary": "1"})
    assert not labels.matches(selector, {"app": "web", "tier": "back"})
    assert labels.matches({}, {"any": "thing"})
    assert not labels.matches(None, {"any": "thing"})
    assert labels.as_query(selector) == "app=web,tier in (front,edge),!canary"


def test_a_service_without_a_selector_selects_nothing() -> None:
    assert not labels.service_selects({"spec": {}}, {"app": "web"})
    assert not labels.service_selects({"spec": {"selector": {}}}, {"app": "web"})


def test_the_diff_names_items_of_lists() -> None:
    before = {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]}
    after = {"containers": [{"name": "b", "image": "y:1"}, {"name": "a", "image": "x:2", "tty": True}]}
    lines = {change.path: (change.before, change.after) for change in diff(REF, "spec", before, after)}
    assert lines == {"spec.containers[a].image": ("x:1", "x:2"), "spec.containers[a].tty": (None, True)}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "y"]),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.sampled_from("abcd"), JSON, max_size=4)


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386, as an API server does it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


@given(OBJECT, OBJECT)
def test_after_a_merge_patch_its_values_are_recognised(live: dict[str, Any], patch: dict[str, Any]) -> None:
    assert operations.contains(merge(live, patch), patch)


@given(OBJECT, OBJECT)
def test_what_is_recognised_as_done_a_merge_would_not_change(live: dict[str, Any], patch: dict[str, Any]) -> None:
    live = merge({}, live)
    if operations.contains(live, patch):
        assert without_empty(merge(live, patch)) == without_empty(live)


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: kept for k, v in value.items() if (kept := without_empty(v)) not in ({}, None)}
    return value


def test_containers_are_compared_by_name() -> None:
    live = {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}}
    assert operations.contains(live, {"spec": {"containers": [{"name": "b", "image": "2"}]}})
    assert not operations.contains(live, {"spec": {"containers": [{"name": "b", "image": "3"}]}})
    assert not operations.contains(live, {"spec": {"containers": [{"name": "c"}]}})


def test_configuration_is_taken_and_the_rest_stays() -> None:
    now = {
        "spec": {
            "containers": [{"name": "a", "image": "a:2", "env": [{"name": "X", "value": "bad"}]}],
            "volumes": [{"name": "c", "configMap": {"name": "new"}}, {"name": "d", "emptyDir": {}}],
        }
    }
    former = {
        "spec": {
            "containers": [{"name": "a", "image": "a:1", "envFrom": [{"configMapRef": {"name": "old"}}]}],
            "volumes": [{"name": "c", "configMap": {"name": "old"}}],
        }
    }
    result = with_config_of(now, former)["spec"]
    assert result["containers"] == [{"name": "a", "image": "a:2", "envFrom": [{"configMapRef": {"name": "old"}}]}]
    assert result["volumes"] == [{"name": "c", "configMap": {"name": "old"}}, {"name": "d", "emptyDir": {}}]


def test_every_action_of_a_policy_exists() -> None:
    assert set(registry.REGISTRY) == set(ActionName)


def test_an_unknown_action_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match="kubectl delete"):
        registry.get("kubectl delete")


@pytest.mark.parametrize(
    ("action", "parameters"),
    [
        ("scale", {"replicas": -1}),
        ("scale", {}),
        ("scale", {"replicas": 1, "command": "rm -rf /"}),
        ("fixServiceSelector", {"selector": {}}),
        ("fixServiceSelector", {"selector": {"app": "*"}}),
        ("updateResources", {"limits": {"memory": "lots"}}),
        ("updateResources", {"limits": {"nvidia.com/gpu": "1"}}),
        ("isolate", {"event": "e", "mode": "total"}),
    ],
)
def test_parameters_outside_the_schema_are_refused(action: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        registry.get(action).parameters.model_validate(parameters)
