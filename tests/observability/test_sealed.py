"""What is kept to be put back holds no password that can be read in the database, and is put back as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.core import serializers
from django.db import connection, models
from django.db.models import Value
from django.db.models.functions import Cast
from django.utils import timezone
from hypothesis import given, settings as hypothesis_settings, strategies as st
from pytest_django import Settings

from healing.actions import operations
from healing.actions.base import Change
from healing.models import KnownState
from healing.models.sealed import PREFIX, WHOLE, is_sealed, seal, unseal
from healing.ports.cluster import ObjectRef
from healing.ports.errors import Invalid

REF = ObjectRef("Deployment", "shop", "api", "u-1")
MANIFEST: dict[str, Any] = {
    "spec": {
        "containers": [
            {
                "name": "api",
                "image": "registry.example/api:1",
                "env": [{"name": "DB_PASSWORD", "value": "hunter-22"}, {"name": "LOG_LEVEL", "value": "debug"}],
                "args": ["--token=abcdef0123456789", "--verbose"],
            }
        ],
        "replicas": 3,
    }
}


@pytest.fixture(autouse=True)
def key(settings: Settings) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_IS_SET = "one of our own, long enough", True


def in_the_database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT state FROM healing_knownstate")
        return str(cursor.fetchone()[0])


def known() -> KnownState:
    now = timezone.now()
    return KnownState.objects.create(
        cluster="default", kind="Deployment", namespace="shop", name="api", uid="u-1", digest="d", state=MANIFEST,
        first_seen_at=now, last_seen_at=now,
    )  # fmt: skip


@pytest.mark.django_db
@pytest.mark.both_databases
def test_it_is_sealed_in_the_database_and_plain_in_python() -> None:
    row = known()
    for write in (row.save, lambda: KnownState.objects.bulk_update([row], ["state"])):
        write()  # type: ignore[operator]
        text = in_the_database()
        assert "hunter-22" not in text
        assert "abcdef0123456789" not in text
        assert "registry.example/api:1" in text, "only what looks like a secret is sealed"
        assert KnownState.objects.get().state == MANIFEST


@pytest.mark.django_db
@pytest.mark.both_databases
def test_a_dump_has_it_sealed_and_can_be_loaded() -> None:
    known()
    dump = serializers.serialize("json", KnownState.objects.all())
    assert "hunter-22" not in dump
    KnownState.objects.all().delete()
    for row in serializers.deserialize("json", dump):
        row.save()
    assert KnownState.objects.get().state == MANIFEST
    assert "hunter-22" not in in_the_database()


@pytest.mark.django_db
@pytest.mark.both_databases
def test_a_new_key_reads_what_the_old_one_sealed_while_it_is_named(settings: Settings) -> None:
    known()
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another one, as long as that one"
    assert KnownState.objects.get().state == MANIFEST
    settings.SECRET_KEY_FALLBACKS = []
    assert is_sealed(KnownState.objects.get().state)


@pytest.mark.django_db
@pytest.mark.both_databases
def test_code_of_before_finds_nothing_it_could_send() -> None:
    """It reads the column as the JSON that it is: a text, so neither a manifest nor a plan."""
    row = known()
    (stored,) = KnownState.objects.annotate(raw=Cast("state", models.JSONField())).values_list("raw", flat=True)
    assert isinstance(stored, str)
    assert stored.startswith(WHOLE)
    row.state = {"spec": {"replicas": 3}}
    row.save()
    (stored,) = KnownState.objects.annotate(raw=Cast("state", models.JSONField())).values_list("raw", flat=True)
    assert stored == {"spec": {"replicas": 3}}, "what holds no secret stays what it was"


@pytest.mark.django_db
@pytest.mark.both_databases
def test_rows_that_were_sealed_in_place_are_read() -> None:
    row = known()
    KnownState.objects.filter(pk=row.pk).update(state=Value(seal(MANIFEST), models.JSONField()))
    assert in_the_database().count(WHOLE) == 0
    assert KnownState.objects.get().state == MANIFEST


def test_keys_of_before_come_from_the_environment() -> None:
    """As the settings read them."""
    code = "from django.conf import settings; print(settings.SECRET_KEY_FALLBACKS)"
    environment = {**os.environ, "SECRET_KEY": "k" * 50, "SECRET_KEY_FALLBACKS": " one,with-comma\ntwo "}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=180
    )
    assert done.stdout.strip() == "['one,with-comma', 'two']"


def test_what_cannot_be_read_any_more_is_never_sent() -> None:
    patch = operations.patch(REF, {"spec": {"env": [{"name": "DB_PASSWORD", "value": f"{PREFIX}gAAAA"}]}})
    with pytest.raises(Invalid, match="SECRET_KEY"):
        operations.send(None, patch, timeout_seconds=1)  # type: ignore[arg-type]  # nobody is asked


def test_without_a_key_of_the_installation_nothing_is_sealed(settings: Settings) -> None:
    settings.SECRET_KEY_IS_SET = False
    assert seal(MANIFEST) == MANIFEST


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["password=x1y2z3", "a@b.example", PREFIX]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "value", "password", "token", "image", ""]) | st.text(), inner)
    ),
    max_leaves=20,
)


@hypothesis_settings(max_examples=200, deadline=None)
@given(value=JSON)
def test_what_is_sealed_comes_back_as_it_was(value: Any) -> None:
    assert unseal(json.loads(json.dumps(seal(value)))) == value
    assert seal(seal(value)) == seal(value) or is_sealed(seal(value))


@pytest.mark.parametrize(
    ("path", "before"),
    [
        ("spec.template.spec.containers[api].env[DB_PASSWORD].value", "hunter-22"),
        ("data.api-token", "hunter-22"),
        ("spec.template.spec.containers[api].env", [{"name": "DB_PASSWORD", "value": "hunter-22"}]),
        ("spec.template.spec.containers[api].args", ["--password=hunter-22"]),
    ],
)
def test_a_diff_for_people_has_no_secret(path: str, before: Any) -> None:
    told = json.dumps(Change(REF, path, before, None).for_people())
    assert "hunter-22" not in told
    assert path in told


def test_a_diff_for_people_has_all_the_rest() -> None:
    told = Change(REF, "spec.replicas", 3, 5).for_people()
    assert (told["before"], told["after"]) == (3, 5)
    told = Change(REF, "spec.volumes[certs].secret.secretName", "old-certs", "new-certs").for_people()
    assert (told["before"], told["after"]) == ("old-certs", "new-certs")
