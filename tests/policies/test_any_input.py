"""Whatever is sent: an answer in words, never an error of ours."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import ValidationError

from healing.admin.spec_fields import form_fields
from healing.policies.difference import leaves
from healing.policies.spec import PolicySpec
from healing.policies.yaml_text import BadYaml, load

NAMES = [name for path, _ in leaves(PolicySpec(target_namespaces=["a"]).as_json()) for name in path]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["*", "", "\x00", "\ud800", "é", "Mon-Fri 22:00-06:00 Mars", math.nan, math.inf, 10**400, "1e999"]
    )
)
KEYS = st.sampled_from(NAMES) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
SPECS = st.dictionaries(st.sampled_from(sorted(PolicySpec.model_json_schema()["properties"])), VALUES, max_size=6)
QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

#: Pages take their time.
FEW = settings(QUICK, max_examples=10)


@given(spec=SPECS)
@QUICK
def test_the_schema_takes_it_or_says_what_is_wrong(spec: dict[str, Any]) -> None:
    try:
        parsed = PolicySpec.model_validate({"targetNamespaces": ["shop"], **spec})
    except ValidationError:
        return
    stored = json.loads(json.dumps(parsed.as_json(), allow_nan=False))
    assert PolicySpec.model_validate(stored) == parsed, "what is stored is read back the same"


@given(text=st.text(max_size=200) | VALUES.map(lambda value: yaml.safe_dump(_printable(value))))
@QUICK
def test_yaml_is_read_or_refused(text: str) -> None:
    try:
        load(text)
    except BadYaml:
        pass


def _printable(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str).encode("utf-8", "replace").decode().replace("\\ud800", "?"))


@pytest.fixture
def root(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


@given(spec=SPECS)
@FEW
def test_the_api_answers_in_words(root: Client, spec: dict[str, Any]) -> None:
    cache.clear()
    body = json.dumps({"name": "x", "spec": {"targetNamespaces": ["shop"], **spec}})
    for method, path in (("post", "/api/v1/policies"), ("post", "/api/v1/policies/replay")):
        answer = getattr(root, method)(path, body, content_type="application/json")
        assert answer.status_code < 500, answer.content
        if answer.status_code >= 400:
            assert answer.json()["detail"]


@given(data=st.dictionaries(st.sampled_from(sorted(form_fields(PolicySpec))), st.text(max_size=30), max_size=6))
@FEW
def test_the_form_answers_in_words(root: Client, data: dict[str, str]) -> None:
    answer = root.post(
        "/admin/healing/policy/add/", {"name": "x", "namespace": "", "target_namespaces": "shop", **data}
    )
    assert answer.status_code in (200, 302)
    if answer.status_code == 200:
        assert answer.context["adminform"].form.errors
