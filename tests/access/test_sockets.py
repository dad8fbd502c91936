"""What the sockets send, by role and namespace: nobody hears of a place that they may not see, whatever happens there.

Everything is made to happen in namespace shop, from an event's first phase to its end, while somebody listens whose
role holds in namespace media only.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone

from healing.access import grants_of
from healing.approvals import service as approvals
from healing.dashboard import consumers
from healing.dashboard.frame import surroundings
from healing.lifecycle import Phase
from healing.models import HealingEvent, Policy, Role, RoleBinding
from tests import stored
from tests.dashboard import cases
from tests.dashboard.socket import Page, socket
from tests.dashboard.story import Script, open_case, step
from tests.people import approver, person

pytestmark = pytest.mark.django_db(transaction=True)

HIDDEN, OWN = "shop", "media"
#: In every text about the hidden place, and in none about the other one.
MARKS = ("hidden-orders", "hidden-policy", "hidden-reason")
LISTS = ("/ws/now/", "/ws/frame/")


def happens_in_the_hidden_place() -> HealingEvent:
    """An event from its beginning to its end, a question that is answered, a policy that freezes, a warning."""
    now = datetime.now(UTC)
    case = cases.bad_rollout(now, "hidden-orders", HIDDEN)
    event = open_case(case, now)
    window = f"{(now - timedelta(hours=1)).isoformat()}/{(now + timedelta(hours=1)).isoformat()}"
    spec = {"targetNamespaces": [HIDDEN], "limits": {"freezeWindows": [window]}}
    Policy.objects.create(name="hidden-policy", namespace=HIDDEN, spec=spec)
    stored.warning(name="hidden-orders", namespace=HIDDEN, at=now)
    script = Script(case)
    while event.phase != Phase.AWAITING_APPROVAL:
        step(event, script)
        event.refresh_from_db()
    question = event.approvals.get()
    approvals.approve(question.pk, by=approver("boss"), digest=question.digest, comment="hidden-reason")
    event.refresh_from_db()
    while event.finished_at is None:
        step(event, script)
        event.refresh_from_db()
    return event


def happens_in_the_own_place(name: str) -> HealingEvent:
    return open_case(cases.bad_rollout(datetime.now(UTC), name, OWN), datetime.now(UTC))


happens = sync_to_async(happens_in_the_hidden_place)
own = sync_to_async(happens_in_the_own_place)
somebody = sync_to_async(person)


async def greet(page: Page, path: str) -> None:
    await (page.hello(seq=0, regions={}) if "/events/" in path else page.hello(rows={}))


def assert_nothing_of_it(page: Page, event: HealingEvent) -> None:
    found = [mark for mark in (*MARKS, event.name) if mark in page.everything]
    assert not found, page.everything


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("path", [*LISTS, "own event"])
async def test_nothing_of_another_namespace_is_ever_sent(transactional_db: None, role: Role, path: str) -> None:
    listener = await somebody(f"{role}-of-media", role, namespace=OWN)
    mine = await own("mine")
    where = f"/ws/events/{mine.name}/" if path == "own event" else path
    async with socket(where, listener) as page:
        await greet(page, where)
        hidden = await happens()
        # What is sent after all of it: who has heard this would have heard the rest.
        await own("heard")
        await page.until(counts(await sync_to_async(live)(listener)))
    assert_nothing_of_it(page, hidden)


def live(user: User) -> int:
    return surroundings(grants_of(user)).counts["live"]


def counts(number: int) -> Callable[[str], bool]:
    """The badge of what is live says so."""
    return lambda text: f'data-count-live="{number}"' in text


@pytest.mark.parametrize("role", list(Role))
async def test_the_event_of_another_namespace_has_no_socket(transactional_db: None, role: Role) -> None:
    listener = await somebody(f"{role}-of-media", role, namespace=OWN)
    hidden = await sync_to_async(open_case)(cases.bad_rollout(timezone.now(), "hidden-orders", HIDDEN), timezone.now())
    async with socket(f"/ws/events/{hidden.name}/", listener) as page:
        assert await page.closed() == consumers.NOT_FOUND
    assert page.everything == ""


async def test_who_has_no_role_hears_of_nothing(transactional_db: None) -> None:
    stranger = await somebody("stranger")
    async with socket("/ws/now/", stranger) as page:
        await page.hello(rows={})
        hidden = await happens()
        await page.message()
        await page.is_quiet(0.6)
    assert_nothing_of_it(page, hidden)


async def test_an_event_page_is_closed_when_the_role_there_is_withdrawn(transactional_db: None) -> None:
    listener = await somebody("leaving", Role.OPERATOR, namespace=OWN)
    mine = await own("mine")
    async with socket(f"/ws/events/{mine.name}/", listener) as page:
        await page.hello(seq=0, regions={})
        await page.message()
        await RoleBinding.objects.filter(user=listener).adelete()
        await sync_to_async(step)(mine, Script(cases.bad_rollout(timezone.now(), "mine", OWN)))
        before = page.everything
        assert await page.closed() == consumers.SIGNED_OUT
        assert page.everything == before, "nothing was sent after the role was gone"


async def test_a_list_is_emptied_of_what_may_not_be_seen_any_more(transactional_db: None) -> None:
    listener = await somebody("moving", Role.VIEWER, namespace=OWN)
    mine = await own("mine")
    async with socket("/ws/now/", listener) as page:
        await page.hello(rows={})
        await page.until(lambda text: mine.name in text)
        await RoleBinding.objects.filter(user=listener).aupdate(namespace="elsewhere")
        later = await own("later")
        gone = f'<li id="event-{mine.name}" hx-swap-oob="delete">'
        await page.until(lambda text: gone in text)
    assert later.name not in page.everything
