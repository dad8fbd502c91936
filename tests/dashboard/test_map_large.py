"""A namespace of hundreds of workloads: what matters is drawn, the rest is folded, counted and opened."""

from __future__ import annotations

import gzip
import re
import time
from collections import Counter
from collections.abc import Iterable
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import given, settings, strategies as st

from healing.dashboard.map.folding import FEW, MOST_OPENED, OPENED_STEP, Folded, Side, fold
from healing.ports.cluster import Object
from tests.browser import scenery
from tests.dashboard.test_map import clean_cache, deployment, pod, publish, replicaset, service, world
from tests.people import person

__all__ = ["clean_cache"]


def folded(edges: Iterable[tuple[int, int]], centre: list[int], opened: Iterable[str] = ()) -> Folded:
    edges = sorted({(a, b) for a, b in edges if a != b})
    return fold(
        centre,
        lambda place: [b for a, b in edges if a == place],
        lambda place: [a for a, b in edges if b == place],
        lambda place, side: f"{side}:{place}",
        Counter(opened),
        lambda place: (0, f"{place:04}"),
    )


def test_a_crowd_of_callers_is_one_group_that_opens_bit_by_bit() -> None:
    hub = [(caller, 0) for caller in range(1, 101)]
    shut = folded(hub, [0])
    assert (list(shut.shown), [len(group.members) for group in shut.groups]) == ([0], [100])
    assert shut.edges == {(-1, 0): 100}
    once = folded(hub, [0], ["callers:0"])
    assert list(once.shown) == list(range(OPENED_STEP + 1))
    assert [len(group.members) for group in once.groups] == [100 - OPENED_STEP]
    assert not folded(hub, [0], ["callers:0"] * 5).groups


def test_few_neighbours_are_drawn_and_who_is_two_calls_away_is() -> None:
    chain = [(n, n + 1) for n in range(6)]
    found = folded(chain, [2])
    assert sorted(found.shown) == [0, 1, 2, 3, 4]
    assert not found.groups
    fan = [(0, n) for n in range(1, FEW[0] + 1)]
    assert sorted(folded(fan, [0]).shown) == list(range(FEW[0] + 1))
    assert folded([*fan, (0, FEW[0] + 1)], [0]).groups[0].side == Side.CALLS


def test_there_is_an_end_to_opening() -> None:
    hub = [(caller, 0) for caller in range(1, 1001)]
    found = folded(hub, [0], ["callers:0"] * 100)
    assert len(found.shown) == MOST_OPENED + 1
    assert not found.groups[0].can_open


EDGES = st.sets(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=250)


@settings(max_examples=80, deadline=None)
@given(EDGES, st.sets(st.integers(0, 60), min_size=1, max_size=12), st.lists(st.integers(0, 60), max_size=4))
def test_nobody_is_drawn_twice_and_every_line_is_of_calls_that_are_there(
    edges: set[tuple[int, int]], centre: set[int], opened: list[int]
) -> None:
    found = folded(edges, sorted(centre), [f"{side}:{place}" for place in opened for side in Side])
    grouped = [member for group in found.groups for member in group.members]
    assert len({*found.shown, *grouped}) == len(found.shown) + len(grouped)
    assert centre <= set(found.shown)
    assert all(len(group.members) > 1 for group in found.groups)
    node_of = {place: place for place in found.shown}
    for index, group in enumerate(found.groups):
        node_of |= dict.fromkeys(group.members, -1 - index)
        beside = {b if group.side == Side.CALLERS else a for a, b in edges for m in group.members if m in (a, b)}
        assert group.beside in beside
    calls = Counter((node_of[a], node_of[b]) for a, b in edges if a != b and a in node_of and b in node_of)
    expected = {edge: n for edge, n in calls.items() if edge[0] != edge[1] and max(edge) >= 0}
    assert found.edges == expected


# --- the page -----------------------------------------------------------------------------------------------------


def market(*, is_well: bool = False) -> list[Object]:
    return scenery.a_market(is_well=is_well)


def names(html: str) -> set[str]:
    """Of the workloads in the drawing."""
    drawing = html.split('class="call-graph"')[1].split("</figure>", maxsplit=1)[0]
    return set(re.findall(r'<a class="spot [^>]*><title>\w+ \w+/([\w-]+)', drawing))


def links(html: str) -> dict[str, str]:
    """Groups in the drawing, with where they lead."""
    found = re.findall(r'<a class="crowd [^>]*href="([^"]+)"[^>]*aria-label="Open: ([^"]+)"', html)
    return {unescape(name): unescape(url) for url, name in found}


@pytest.mark.django_db
def test_of_three_hundred_workloads_those_that_are_wrong_are_drawn(client: Client, alice: User) -> None:
    publish(world(*market()))
    client.force_login(alice)
    html = client.get("/map/?namespace=market").content.decode()
    drawn = names(html)
    assert {"pricing-rules", "delivery-slots", "identity-sessions", "stock-reserve"} <= drawn
    assert len(drawn) < 70
    assert "9/10 ready, 1 isolated" in html
    assert "The 4 workloads to look at" in html
    said = re.search(r"(\d+) more workloads are only among the tiles below", html)
    assert said is not None
    groups = links(html)
    assert groups
    members = sum(int(name.split()[0]) for name in groups)
    assert len(drawn) + members + int(said[1]) == 300
    # Each group is told by name, and opens.
    name, url = next(iter(groups.items()))
    assert f">{name}</a>" in html
    opened = client.get(url).content.decode()
    assert drawn < names(opened)
    assert name not in links(opened)
    assert "Fold what was opened" in opened


@pytest.mark.django_db
def test_what_is_around_one_workload_has_an_address_of_its_own(client: Client, alice: User) -> None:
    publish(world(*market()))
    client.force_login(alice)
    near = client.get("/map/default/market/Deployment/stock-reserve/").content.decode()
    link = re.search(r'href="([^"]+)">Draw what is around it', near)
    assert link is not None
    html = client.get(unescape(link[1])).content.decode()
    assert "What calls stock-reserve and what it calls" in html
    drawn = names(html)
    assert "stock-reserve" in drawn
    assert "pricing-rules" not in drawn
    assert len(drawn) < 60
    gone = client.get("/map/?namespace=market&focus=Deployment/nobody").content.decode()
    assert "Deployment/nobody does not run in this namespace" in gone
    assert "pricing-rules" in names(gone)
    odd = "/map/?namespace=market&focus=%00%3Cb%3E&open=callers:&open=%FF&open=calls:Deployment/market/no"
    assert client.get(odd).status_code == 200


@pytest.mark.django_db
def test_where_all_is_well_those_with_most_calls_are_drawn(client: Client, alice: User) -> None:
    publish(world(*market(is_well=True)))
    client.force_login(alice)
    html = client.get("/map/?namespace=market").content.decode()
    assert "Nothing is wrong" in html
    assert "auth" in names(html)
    assert links(html)


@pytest.mark.django_db
def test_neighbours_of_a_namespace_one_may_not_see_are_neither_drawn_nor_counted(client: Client) -> None:
    objects = []
    for n in range(80):
        caller = ("secret", f"spy-{n}") if n < 40 else ("shop", f"app-{n}")
        hub = "http://hub.shop:80"
        objects += [deployment(*caller, 1, {"HUB": hub}), replicaset(*caller), pod(*caller, 1)]
    objects += [deployment("shop", "hub", 1), replicaset("shop", "hub"), pod("shop", "hub", 1), service("shop", "hub")]
    publish(world(*objects, *(deployment("shop", f"idle-{n}", 0) for n in range(30))))
    client.force_login(person("vera", "viewer", namespace="shop"))
    for query in ("?namespace=shop&focus=Deployment/hub", "?namespace=shop&focus=Deployment/hub&open=callers:"):
        html = client.get(f"/map/{query}").content.decode()
        assert "spy" not in html
        assert "secret" not in html
        assert list(links(html)) == ["40 workloads that call hub"]
    client.force_login(person("olga", "viewer"))
    assert list(links(client.get("/map/?namespace=shop&focus=Deployment/hub").content.decode())) == [
        "80 workloads that call hub"
    ]


@pytest.mark.django_db
def test_three_thousand_pods_are_answered_at_once(client: Client, alice: User) -> None:
    publish(world(*market()))
    client.force_login(alice)
    client.get("/map/?namespace=market")
    for query in ("", "?namespace=market", "?namespace=market&focus=Deployment/auth"):
        took = []
        for _ in range(3):
            started = time.thread_time()
            page = client.get(f"/map/{query}").content
            took.append(time.thread_time() - started)
        assert min(took) < 0.5, took
        assert len(gzip.compress(page)) < 60_000
    assert client.get("/map/").content.decode().count('class="tile ') < 20
