"""Lists that were once thought short: page by page, each row once, whatever is made meanwhile."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from healing.access import Role
from healing.models import Halt, Policy, RoleBinding
from tests.api.conftest import PASSWORD, Caller


def read(call: Caller, path: str, limit: int) -> list[list[int]]:
    """Ids, a list for each page."""
    pages, cursor = [], ""
    while True:
        status, answer = call("get", f"{path}?limit={limit}&cursor={cursor}")
        assert status == 200, answer
        pages.append([item["id"] for item in answer["items"]])
        if answer["next"] is None:
            return pages
        cursor = answer["next"]


def refusals(call: Caller, path: str) -> set[Any]:
    return {call("get", f"{path}?{query}")[0] for query in ("limit=0", "limit=201", "cursor=nonsense")}


def test_halts_are_read_page_by_page(as_vera: Caller) -> None:
    made = [Halt.objects.create(cluster=f"c{number}", reason="x").pk for number in range(5)]
    Halt.objects.filter(pk=made[0]).update(lifted_at=Halt.objects.get(pk=made[1]).created_at)
    assert read(as_vera, "/brakes/halts", 2) == [[made[4], made[3]], [made[2], made[1]]]
    assert refusals(as_vera, "/brakes/halts") == {422}


def test_policies_are_read_page_by_page_and_only_those_one_may_see(as_admin: Caller) -> None:
    made = [
        Policy.objects.create(name=f"p{number}", spec={"targetNamespaces": ["shop" if number % 2 else "bank"]}).pk
        for number in range(7)
    ]
    assert read(as_admin, "/policies", 3) == [made[:3:-1], made[3:0:-1], made[:1]]
    assert refusals(as_admin, "/policies") == {422}
    narrow = User.objects.create_user("narrow", password=PASSWORD)
    RoleBinding.objects.create(user=narrow, role=Role.VIEWER, namespace="shop")
    assert read(Caller(narrow), "/policies", 2) == [[made[5], made[3]], [made[1]]]


def test_a_page_stays_where_it_was_while_rows_are_made(as_vera: Caller) -> None:
    made = [Halt.objects.create(cluster=f"c{number}", reason="x").pk for number in range(3)]
    _, first = as_vera("get", "/brakes/halts?limit=2")
    Halt.objects.create(cluster="new", reason="x")
    _, second = as_vera("get", f"/brakes/halts?limit=2&cursor={first['next']}")
    assert [item["id"] for item in [*first["items"], *second["items"]]] == made[::-1]
