"""Patches, quantities, CEL: properties that hold for any input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from healing.sandbox.api.cel_eval import evaluate
from healing.sandbox.api.cel_functions import CelError
from healing.sandbox.api.fieldsets import difference, intersection, union
from healing.sandbox.api.patches.jsonpatch import apply_json_patch
from healing.sandbox.api.patches.merge import apply_merge_patch
from healing.sandbox.api.patches.strategic import apply_strategic_patch
from healing.sandbox.api.quantity import canonical_quantity, parse_quantity
from healing.sandbox.api.schema import model_type
from healing.sandbox.ports import ApiError

_SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text("abc", max_size=2)
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
)
_OBJECTS = st.dictionaries(st.text("abc", max_size=2), _JSON, max_size=4)
_SETS: st.SearchStrategy[Any] = st.recursive(
    st.just({}), lambda inner: st.dictionaries(st.sampled_from(["f:a", "f:b", "f:c"]), inner, min_size=1, max_size=3)
)


@given(_OBJECTS, _OBJECTS)
def test_merging_twice_is_merging_once(document: dict[str, Any], patch: dict[str, Any]) -> None:
    once = apply_merge_patch(document, patch)
    assert apply_merge_patch(once, patch) == once
    for key, value in patch.items():
        assert (key not in once) if value is None else (key in once)


@given(_OBJECTS)
def test_an_empty_patch_changes_nothing(document: dict[str, Any]) -> None:
    assert apply_merge_patch(document, {}) == document
    assert apply_json_patch(document, []) == document


@given(_OBJECTS, _JSON)
def test_patches_leave_the_document_alone(document: dict[str, Any], value: Any) -> None:
    import copy

    before = copy.deepcopy(document)
    patched = apply_json_patch(document, [{"op": "add", "path": "/new~1key", "value": value}])
    assert document == before
    assert patched["new/key"] == value
    assert apply_json_patch(patched, [{"op": "remove", "path": "/new~1key"}]) == {
        k: v for k, v in before.items() if k != "new/key"
    }


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/nosuch"},
        {"op": "replace", "path": "/a/b/c", "value": 1},
        {"op": "add", "path": "/list/7", "value": 1},
        {"op": "nonsense", "path": "/a"},
        {"op": "add"},
    ],
)
def test_an_operation_that_does_not_fit_is_invalid(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        apply_json_patch({"a": 1, "list": []}, [operation])
    assert refused.value.code == 422


@given(
    st.lists(st.sampled_from("abcd"), unique=True, max_size=4),
    st.lists(st.sampled_from("abcdef"), unique=True, max_size=4),
)
def test_strategic_lists_hold_each_name_once(current: list[str], patched: list[str]) -> None:
    document = {"spec": {"containers": [{"name": name, "image": "old", "args": [name]} for name in current]}}
    patch = {"spec": {"containers": [{"name": name, "image": "new"} for name in patched]}}
    merged = apply_strategic_patch(document, patch, model_type("V1Pod"))["spec"]["containers"]
    by_name = {item["name"]: item for item in merged}
    assert len(merged) == len(by_name) == len({*current, *patched})
    assert all(by_name[name]["image"] == "new" for name in patched)
    assert all(by_name[name]["args"] == [name] for name in current)


@given(_SETS, _SETS)
def test_field_sets_are_sets(a: Any, b: Any) -> None:
    both = union(a, b)
    assert union(a, a) == a
    assert difference(a, a) is None
    assert intersection(a, a) == a
    assert difference(difference(both, a), b) is None
    left = difference(a, b)
    assert left is None or intersection(left, b) is None


@given(st.integers(0, 10**7), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi"]))
def test_quantities_keep_their_value(number: int, unit: str) -> None:
    text = canonical_quantity(f"{number}{unit}")
    assert parse_quantity(text) == parse_quantity(f"{number}{unit}")
    assert canonical_quantity(text) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("1500Mi", "1500Mi"),
        ("100000", "100k"),
        ("0", "0"),
        ("1e3", "1e3"),
    ],
)
def test_quantities_have_one_form(text: str, canonical: str) -> None:
    assert canonical_quantity(text) == canonical


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "10 Mi", "1KiB"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("self.a > 1 && self.name.startsWith('x')", True),
        ("has(self.b) || self.a == 2", True),
        ("!has(self.b) ? self.a : 0", 2),
        ("self.items.all(i, i.size() > 1)", False),
        ("self.items.exists(i, i == 'abc')", True),
        ("self.items.filter(i, size(i) > 1).map(i, i + '!')", ["abc!"]),
        ("'k' in self.labels && self.labels['k'] == 'v'", True),
        ("-7 / 2 == -3 && 7 % 3 == 1", True),
        ("self.name.matches('^x[a-z]*$')", True),
        ("self.missing == 1 || true", True),
        ("duration('1m30s').getSeconds() == 90", True),
    ],
)
def test_cel(rule: str, value: Any) -> None:
    this = {"a": 2, "name": "xyz", "items": ["a", "abc"], "labels": {"k": "v"}}
    assert evaluate(rule, {"self": this}) == value


@pytest.mark.parametrize("rule", ["self.", "nosuch(self)", "self.missing == 1", "1 +", "self.a && true", "self # 1"])
def test_cel_says_what_it_cannot_do(rule: str) -> None:
    with pytest.raises(CelError):
        evaluate(rule, {"self": {"a": 1}})
