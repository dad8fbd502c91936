"""Whose a field is now: by managed fields as API servers write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from healing.actions.ownership import has_taken_back

AT = datetime(2026, 11, 23, 12, 0, 0, 500_000, tzinfo=UTC)
IMAGE = "spec.template.spec.containers[web].image"
CONTAINER: dict[str, Any] = {".": {}, "f:image": {}}


def entry(manager: str, container: dict[str, Any], seconds: int = 0, **more: Any) -> dict[str, Any]:
    fields = {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"web"}': container}}}}}
    when = (AT + timedelta(seconds=seconds)).replace(microsecond=0).isoformat()
    return {"manager": manager, "time": when, "fieldsV1": fields, **more}


def obj(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries)}}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([entry("argocd-controller", CONTAINER, 9), entry("recist", {})], True, id="the tool's again"),
        pytest.param(
            [entry("argocd-controller", {"f:name": {}}), entry("kubectl-patch", CONTAINER)],
            False,
            id="somebody's, in the very second in which the tool wrote another field",
        ),
        pytest.param([entry("helm-controller", {}), entry("kubectl", {"f:name": {}})], True, id="owned as a whole"),
        pytest.param([entry("argocd-controller", {"f:name": {}}, 5)], True, id="nobody's: the tool took it away"),
        pytest.param([entry("argocd-controller", {"f:name": {}}, -5)], False, id="nobody's: the tool wrote earlier"),
        pytest.param(
            [entry("argocd-controller", CONTAINER, 5, subresource="status"), entry("kubectl", CONTAINER)],
            False,
            id="a write of the status is none",
        ),
        pytest.param(
            [{"manager": "argocd-controller"}, entry("kubectl", CONTAINER)],
            False,
            id="an entry without fields owns none",
        ),
        pytest.param([], False, id="no managed fields"),
    ],
)
def test_who_owns_the_field_has_written_it_last(entries: list[dict[str, Any]], *, expected: bool) -> None:
    assert has_taken_back(obj(*entries), [IMAGE], AT) is expected


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("data[app.properties]", {"f:data": {"f:app.properties": {}}}),
        ("metadata.labels[app.kubernetes.io/name]", {"f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}}}),
        ("spec.ports[80].port", {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:port": {}}}}}),
    ],
)
def test_keys_of_maps_and_of_lists(path: str, fields: dict[str, Any]) -> None:
    old = (AT - timedelta(hours=1)).isoformat()
    held = obj({"manager": "kustomize-controller", "time": old, "fieldsV1": fields})
    assert has_taken_back(held, [path], AT)
    assert not has_taken_back(held, [f"{path}x" if path.endswith("t") else "data[other]"], AT)
