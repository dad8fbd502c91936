"""The audit trail: only ever added to, sealed, one chain whoever writes, and found again."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection, transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

from healing.audit import Actor, chain, record, search
from healing.models import AuditEntry, RoleBinding
from healing.models.audit_entry import AppendOnly
from tests.people import person

SYSTEM = Actor.system("test")


def tamper(sql: str) -> None:
    """As somebody with the table's owner's rights could."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE healing_auditentry DISABLE TRIGGER healing_audit_append_only")
        cursor.execute(sql)
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE healing_auditentry ENABLE TRIGGER healing_audit_append_only")


def broken() -> chain.Break | None:
    return chain.first_break(AuditEntry.objects.order_by("seq"))


@pytest.fixture
def three(db: None) -> list[AuditEntry]:
    return [record(f"thing.done-{n}", actor=SYSTEM, target=f"t{n}", after={"n": n}) for n in range(3)]


def test_entries_cannot_be_changed_or_removed_through_the_model(three: list[AuditEntry]) -> None:
    entry = three[1]
    entry.actor = "somebody else"
    for forbidden in (
        entry.save,
        entry.delete,
        lambda: AuditEntry.objects.filter(pk=entry.pk).update(actor="x"),
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.bulk_update([entry], ["actor"]),
        lambda: AuditEntry.objects.bulk_create([AuditEntry()]),
    ):
        with pytest.raises(AppendOnly):
            forbidden()
    assert broken() is None


@pytest.mark.parametrize(
    "sql", ["UPDATE healing_auditentry SET actor = 'x'", "DELETE FROM healing_auditentry WHERE seq = 2"]
)
def test_the_database_refuses_it_too(three: list[AuditEntry], sql: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no such trigger")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    ("sql", "seq"),
    [
        ("UPDATE healing_auditentry SET actor = 'x' WHERE seq = {1}", 1),
        ("UPDATE healing_auditentry SET after = NULL WHERE seq = {1}", 1),
        ("DELETE FROM healing_auditentry WHERE seq = {1}", 2),
        ("UPDATE healing_auditentry SET hash = 'ab' WHERE seq = {1}", 1),
    ],
)
def test_who_gets_around_that_is_seen(three: list[AuditEntry], sql: str, seq: int) -> None:
    seqs = [entry.seq for entry in three]
    tamper(sql.format(*seqs))
    found = broken()
    assert found is not None
    assert found.seq == seqs[seq]
    with pytest.raises(CommandError, match="tampered with"):
        call_command("audit", "verify")


def test_a_trail_rewritten_whole_does_not_have_the_head_that_was_noted_down(three: list[AuditEntry]) -> None:
    out = io.StringIO()
    call_command("audit", "verify", stdout=out)
    head = out.getvalue().split()[-1]
    call_command("audit", "verify", "--head", head, stdout=io.StringIO())
    last = three[-1]
    last.actor = "rewritten"
    tamper(f"UPDATE healing_auditentry SET actor = 'rewritten', hash = '{chain.seal(last)}' WHERE seq = {last.seq}")
    call_command("audit", "verify", stdout=io.StringIO())  # the chain itself is whole again
    with pytest.raises(CommandError, match="rewritten"):
        call_command("audit", "verify", "--head", head)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(st.text(max_size=8), JSON, max_size=4), name=st.text(max_size=200))
def test_whatever_is_recorded_fits_its_seal_when_it_is_read_back(db: None, data: dict[str, Any], name: str) -> None:
    entry = record("thing.done", actor=Actor("person", name), before=data, data=data)
    assert chain.seal(AuditEntry.objects.get(pk=entry.pk)) == entry.hash


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_make_one_chain() -> None:
    writers, each = 6, 5
    start, errors = threading.Barrier(writers), []

    def write(number: int) -> None:
        try:
            start.wait()
            for n in range(each):
                with transaction.atomic():
                    record(f"writer-{number}.wrote-{n}", actor=SYSTEM)
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert AuditEntry.objects.filter(action__startswith="writer-").count() == writers * each
    assert broken() is None


def test_what_is_rolled_back_leaves_no_gap(three: list[AuditEntry]) -> None:
    with transaction.atomic():
        record("thing.undone", actor=SYSTEM)
        transaction.set_rollback(True)
    record("thing.done", actor=SYSTEM)
    assert broken() is None


# --- what is written down by itself --------------------------------------------------------------------------------


def actions() -> list[tuple[str, str]]:
    return [(e.action, e.target) for e in AuditEntry.objects.order_by("seq")]


def test_logins_and_failures_say_from_where(client: Client, db: None) -> None:
    person("ana", "viewer", password="a long password")
    client.post("/login/", {"username": "ana", "password": "wrong"}, REMOTE_ADDR="192.0.2.7")
    client.post("/login/", {"username": "ana", "password": "a long password"}, REMOTE_ADDR="192.0.2.8")
    failed = AuditEntry.objects.get(action="login.failed")
    assert (failed.actor, failed.address) == ("ana", "192.0.2.7")
    assert "wrong" not in json.dumps(search.as_json(failed))
    assert AuditEntry.objects.get(action="login.succeeded").address == "192.0.2.8"


def test_roles_are_written_down_with_who_gave_them(client: Client, db: None) -> None:
    root = User.objects.create_superuser("root")
    ana = person("ana")
    client.force_login(root)
    group = Group.objects.create(name="approver")
    response = client.post(
        "/admin/healing/rolebinding/add/", {"user": ana.pk, "role": "operator", "cluster": "", "namespace": "shop"}
    )
    assert response.status_code == 302, response.content[:2000]
    entry = AuditEntry.objects.get(action="role-binding.created")
    assert (entry.actor, entry.target, entry.namespace) == ("root", "ana", "shop")
    assert entry.after == {"subject": "ana", "role": "operator", "cluster": "", "namespace": "shop"}
    RoleBinding.objects.get().delete()
    ana.groups.add(group)
    ana.set_password("another one")
    ana.save()
    assert ("role-binding.deleted", "ana") in actions()
    assert ("role.granted", "ana") in actions()
    assert ("person.password-changed", "ana") in actions()
    assert ana.password not in json.dumps([search.as_json(e) for e in AuditEntry.objects.all()])


# --- found again ---------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(person("root", "admin"))
    return client


def test_search_on_the_page_and_in_the_api(admin: Client) -> None:
    record("halt.set", actor=Actor("person", "ana", address="192.0.2.1"), target="halt 1", namespace="shop")
    record("approval.rejected", actor=Actor("person", "bo"), target="he-x", data={"comment": "<b>not</b> today"})
    for query, found in (
        ("action=approval", ["approval.rejected"]),
        ("actor=ana", ["halt.set"]),
        ("text=today", ["approval.rejected"]),
        ("namespace=shop&text=192.0.2", ["halt.set"]),
        ("until=2020-01-01", []),
    ):
        items = admin.get(f"/api/v1/audit?{query}").json()["items"]
        assert [item["action"] for item in items] == found, query
        page = admin.get(f"/audit/?{query}").content.decode()
        assert all(action in page for action in found), query
    assert "<b>not</b>" not in admin.get("/audit/").content.decode()
    assert admin.get("/api/v1/audit?since=yesterday").status_code == 422
    assert "is no time" in admin.get("/audit/?since=yesterday").content.decode()
    assert admin.get("/api/v1/audit/verify").json()["ok"] is True
    assert "as it was written" in admin.get("/audit/?verify=1").content.decode()


def test_pages_follow_each_other_without_gap(admin: Client) -> None:
    for n in range(5):
        record(f"thing.done-{n}", actor=SYSTEM)
    seen, before = [], ""
    while True:
        page = admin.get(f"/api/v1/audit?limit=2{before}").json()
        seen += [item["seq"] for item in page["items"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == list(range(max(seen), 0, -1))


def test_exports_hold_everything_the_seal_needs_and_no_formulas(admin: Client) -> None:
    record("thing.done", actor=Actor("person", "=HYPERLINK(1)"), data={"a": 1})
    lines = b"".join(admin.get("/audit/export.jsonl")).decode().splitlines()  # type: ignore[arg-type]
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        sealed = {key: value for key, value in entry.items() if key != "hash"}
        text = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        import hashlib

        assert hashlib.sha256(text.encode()).hexdigest() == entry["hash"]
    table = b"".join(admin.get("/api/v1/audit/export.csv")).decode()  # type: ignore[arg-type]
    assert "'=HYPERLINK(1)" in table
    assert AuditEntry.objects.filter(action="audit.exported").count() == 2


def test_the_trail_is_for_admins(client: Client, db: None) -> None:
    for name, role, namespace in (("v", "viewer", ""), ("a", "approver", ""), ("n", "admin", "shop")):
        client.force_login(person(name, role, namespace=namespace))
        for path in (
            "/audit/",
            "/audit/export.csv",
            "/api/v1/audit",
            "/api/v1/audit/verify",
            "/api/v1/audit/export.csv",
        ):
            assert client.get(path).status_code == 403, (name, path)
