"""Who may do what in the admin site: one table of every page, tried as everybody.

A registered model or an address that is not in the table fails the test: decide who may use it, and write it down here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from healing.models import Policy, RoleBinding
from recist_web.people import ensure_roles
from tests.access import world
from tests.people import person

pytestmark = pytest.mark.django_db

#: Everybody here has Django's staff flag; without it nobody gets in (`test_without_the_staff_flag_nobody_gets_in`).
#: "owner of shop": the role admin in that namespace alone, so none of the permissions that groups give.
VIEWER, OPERATOR, APPROVER, ADMIN, LOCAL, SUPERUSER = people = (
    "viewer", "operator", "approver", "admin", "owner of shop", "superuser",
)  # fmt: skip

NOBODY: frozenset[str] = frozenset()
SUPERUSERS = frozenset({SUPERUSER})
ADMINS = frozenset({ADMIN, SUPERUSER})
ROLES = frozenset({VIEWER, OPERATOR, APPROVER, ADMIN, SUPERUSER})
EVERYBODY = frozenset(people)


@dataclass(frozen=True)
class Row:
    """Who sees the list, a row and its history; who may add, change and delete."""

    see: frozenset[str]
    add: frozenset[str] = NOBODY
    change: frozenset[str] = NOBODY
    delete: frozenset[str] = NOBODY


def all_of_it(who: frozenset[str]) -> Row:
    return Row(who, who, who, who)


RECORD = Row(see=ROLES)

MODELS: dict[str, Row] = {
    "healing.HealingEvent": RECORD,
    "healing.Approval": RECORD,
    "healing.Strategy": RECORD,
    "healing.ActionRun": RECORD,
    "healing.TimelineEntry": RECORD,
    "healing.Isolation": RECORD,
    "healing.Delivery": RECORD,
    "healing.ReceivedAlert": RECORD,
    "knowledge.KnowledgeEntry": RECORD,
    # The policy of the tests covers shop.
    "healing.Policy": Row(see=EVERYBODY, add=ADMINS | {LOCAL}, change=ADMINS | {LOCAL}, delete=ADMINS | {LOCAL}),
    "healing.Halt": Row(see=ROLES, add=EVERYBODY),  # staff are approvers everywhere; it is lifted by an action
    "healing.CircuitReset": Row(see=ROLES, add=ADMINS | {LOCAL}),
    "healing.AuditEntry": Row(see=ADMINS),
    "healing.ApiToken": Row(see=ADMINS),
    "healing.RoleBinding": all_of_it(ADMINS),
    "auth.User": all_of_it(ADMINS),
    "auth.Group": all_of_it(ADMINS),
    # allauth's own: who signs in how, with the provider's secrets.
    "account.EmailAddress": all_of_it(SUPERUSERS),
    "socialaccount.SocialAccount": all_of_it(SUPERUSERS),
    "socialaccount.SocialApp": all_of_it(SUPERUSERS),
    "socialaccount.SocialToken": all_of_it(SUPERUSERS),
}

#: Addresses of the site that belong to no model, or to one beside its five pages.
PAGES: dict[str, frozenset[str]] = {
    "": EVERYBODY,
    "^(?P<app_label>{apps})/$": EVERYBODY,
    "login/": EVERYBODY,
    "logout/": EVERYBODY,
    "jsi18n/": EVERYBODY,
    "password_change/": EVERYBODY,
    "password_change/done/": EVERYBODY,
    "search/": EVERYBODY,  # finds among what the person may see
    "autocomplete/": EVERYBODY,  # asks the model's permission itself
    "r/<path:content_type_id>/<path:object_id>/": EVERYBODY,
    "(?P<url>.*)$": EVERYBODY,  # "not found"
    "auth/user/<id>/password/": ADMINS,
}
_FIVE = ("", "add/", "<path:object_id>/", "<path:object_id>/change/", "<path:object_id>/delete/",
         "<path:object_id>/history/")  # fmt: skip


def label(model: type[Model]) -> str:
    return f"{model._meta.app_label}.{model.__name__}"


def staff() -> dict[str, Client]:
    ensure_roles()
    found = {}
    for who in people:
        if who == SUPERUSER:
            user = User.objects.create_superuser("root")
        elif who == LOCAL:
            user = person("local", "admin", namespace="shop")
        else:
            user = person(who, who)
        User.objects.filter(pk=user.pk).update(is_staff=True)
        found[who] = Client(raise_request_exception=False)
        found[who].force_login(user)
    return found


def instance(model: type[Model]) -> Model:
    """A row of it, made of nothing in particular where the story has none."""
    if model is User:
        return person("somebody", "viewer")
    if model is Group:
        return Group.objects.create(name="somebodies")
    if model is RoleBinding:
        return RoleBinding.objects.create(user=person("somebody"), role="viewer", namespace="shop")
    if (row := model._default_manager.first()) is not None:
        return row
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if field.primary_key or field.null or field.has_default() or field.blank:
            continue
        if field.is_relation:
            related = field.related_model
            values[field.name] = person("signed in by others") if related is User else instance(related)  # type: ignore[arg-type]
        else:
            kinds = {"DateTimeField": timezone.now(), "JSONField": {}, "BooleanField": False, "FloatField": 1.0}
            number = 1 if "Integer" in field.get_internal_type() else "x"
            values[field.name] = kinds.get(field.get_internal_type(), number)
    return model._default_manager.create(**values)


def pages_of(model: type[Model], pk: Any, row: Row) -> list[tuple[str, str, frozenset[str]]]:
    """(method, address, who may)."""
    base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    found = [
        ("GET", base, row.see),
        ("POST", f"{base}add/", row.add),
        ("GET", f"{base}{pk}/change/", row.see),
        ("POST", f"{base}{pk}/change/", row.change),
        ("GET", f"{base}{pk}/history/", row.see),
        ("POST", f"{base}{pk}/delete/", row.delete),
    ]
    if model is Policy:  # it has views of its own; those of all others ask the same before both methods
        found += [
            ("GET", f"{base}add/", row.add),
            ("GET", f"{base}{pk}/", row.see),
            ("GET", f"{base}{pk}/delete/", row.delete),
            ("GET", f"{base}{pk}/change/?restore=1", row.change),
            ("POST", f"{base}{pk}/change/?_tryout=1", row.change),
        ]
    return found


def is_let_in(client: Client, method: str, address: str) -> bool:
    """Whether that person gets past the check; nothing is changed."""
    with world.undone():
        response = world.send(client, method, address, {"post": "yes"}, is_api=False)
        if response.status_code in (301, 302) and response.headers["Location"].startswith(address + "change/"):
            response = client.get(response.headers["Location"])
    assert response.status_code < 500, f"{method} {address}: {response.status_code}"
    is_sent_away = response.status_code == 302 and response.headers["Location"].startswith("/admin/login/")
    return response.status_code != 403 and not is_sent_away


def addresses() -> set[str]:
    return {path.removeprefix("admin/") for path in world._walk(get_resolver()) if path.startswith("admin/")}


def test_everything_registered_is_in_the_table() -> None:
    assert {label(model) for model in admin.site._registry} == set(MODELS)
    known = {f"{m._meta.app_label}/{m._meta.model_name}/{page}" for m in admin.site._registry for page in _FIVE}
    found = {re.sub(r"label>[^)]*\)", "label>{apps})", path) for path in addresses()}
    assert found - known == set(PAGES), "pages of the admin site that nobody has decided about"


@pytest.mark.timeout(600)
def test_every_page_of_every_model_as_everybody() -> None:
    world.names()
    rows = {model: instance(model) for model in admin.site._registry}
    wrong = []
    for who, client in staff().items():
        for model, row in rows.items():
            for method, address, right in pages_of(model, row.pk, MODELS[label(model)]):
                if is_let_in(client, method, address) is not (who in right):
                    wrong.append(f"{method} {address} as {who}: is {'out' if who in right else 'in'}")
    assert not wrong, "\n".join(wrong)


def test_the_other_pages_as_everybody() -> None:
    somebody = person("somebody", "viewer")
    wrong = []
    for who, client in staff().items():
        for page, right in PAGES.items():
            if "?P<" in page or "object_id" in page or page == "logout/":
                continue
            if page == "autocomplete/":
                continue  # which model is asked about decides: a test of its own below
            if is_let_in(client, "GET", f"/admin/{page}".replace("<id>", str(somebody.pk))) is not (who in right):
                wrong.append(f"{page} as {who}")
    assert not wrong, "\n".join(wrong)


def test_without_the_staff_flag_nobody_gets_in() -> None:
    ensure_roles()
    for role in ("", "viewer", "operator", "approver", "admin"):
        client = Client()
        if role:
            client.force_login(person(role, role))
        for model in admin.site._registry:
            base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
            for address in (base, f"{base}add/", f"{base}1/change/", f"{base}1/delete/", f"{base}1/history/"):
                response = client.get(address)
                assert response.status_code == 302, (role, address)
                assert "/login/" in response.headers["Location"], (role, address)


def test_search_and_autocomplete_find_what_the_person_may_see() -> None:
    world.names()
    clients = staff()
    query = "?app_label=healing&model_name=rolebinding&field_name=user&term=view"
    assert clients[ADMIN].get(f"/admin/autocomplete/{query}").json()["results"]
    for who in (VIEWER, OPERATOR, APPROVER, LOCAL):
        assert clients[who].get(f"/admin/autocomplete/{query}").status_code == 403
        assert "socialtoken" not in clients[who].get("/admin/search/?s=token").content.decode()


def test_an_admin_does_not_become_a_superuser_nor_takes_ones_account() -> None:
    clients = staff()
    me, root = User.objects.get(username=ADMIN), User.objects.get(username="root")
    page = clients[ADMIN].get(f"/admin/auth/user/{me.pk}/change/").content.decode()
    assert 'name="is_active"' in page
    assert 'name="is_superuser"' not in page
    assert 'name="user_permissions"' not in page
    for path in ("change/", "password/", "delete/"):
        address = f"/admin/auth/user/{root.pk}/{path}"
        assert not is_let_in(clients[ADMIN], "POST", address), path
        assert is_let_in(clients[SUPERUSER], "POST", address), path
    group = Group.objects.get(name="viewer")
    assert 'name="permissions"' not in clients[ADMIN].get(f"/admin/auth/group/{group.pk}/change/").content.decode()


def test_a_breaker_is_reset_only_where_the_person_is_admin() -> None:
    from healing.models import CircuitReset

    client = staff()[LOCAL]
    fields = {"cluster": "default", "kind": "Deployment", "name": "orders"}
    response = client.post("/admin/healing/circuitreset/add/", {**fields, "namespace": "media"})
    assert "namespace media" in response.content.decode()
    assert not CircuitReset.objects.exists()
    assert client.post("/admin/healing/circuitreset/add/", {**fields, "namespace": "shop"}).status_code == 302
    assert CircuitReset.objects.get().by == "local"


def test_a_person_who_has_roles_at_places_can_be_deleted_and_both_are_written_down() -> None:
    from healing.models import AuditEntry

    somebody = person("somebody", "operator", namespace="shop")
    assert staff()[ADMIN].post(f"/admin/auth/user/{somebody.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(username="somebody").exists()
    entries = AuditEntry.objects.filter(action__endswith=".deleted", target="somebody")
    assert {(entry.action, entry.actor) for entry in entries} == {
        ("person.deleted", ADMIN),
        ("role-binding.deleted", ADMIN),
    }


def test_messages_are_sent_again_by_admins_alone() -> None:
    from healing.models import Delivery, DeliveryState

    clients = staff()
    row = instance(Delivery)
    for who, client in clients.items():
        Delivery.objects.filter(pk=row.pk).update(state=DeliveryState.FAILED)
        client.post("/admin/healing/delivery/", {"action": "send_again", "_selected_action": [row.pk]})
        sent = Delivery.objects.get(pk=row.pk).state == DeliveryState.QUEUED
        assert sent is (who in ADMINS), who
