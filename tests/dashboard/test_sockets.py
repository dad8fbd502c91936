"""The sockets, over the real ASGI application and the real channel layer."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from healing.access import grants_of
from healing.dashboard import consumers, probes
from healing.dashboard.frame import surroundings
from healing.dashboard.live import rounds
from healing.lifecycle import Phase
from healing.models import HealingEvent
from tests.dashboard import cases, story
from tests.dashboard.socket import Refused, socket
from tests.dashboard.story import Script, open_case, step

pytestmark = pytest.mark.django_db(transaction=True)

QUIET_SECONDS = 0.6


def frame(user: User) -> dict[str, str]:
    """What a page that was just loaded says about its frame, once the stores were asked."""
    probes.ask_all()
    return {region.element_id: region.etag for region in surroundings(grants_of(user)).render()}


make = sync_to_async(open_case)
advance = sync_to_async(step)


@pytest.fixture
def vera(transactional_db: None) -> User:
    return story.viewer()


async def test_a_new_event_arrives_and_moves_through_the_sections(vera: User) -> None:
    now = datetime.now(UTC)
    case = cases.bad_rollout(now)
    async with socket("/ws/now/", vera) as page:
        await page.hello(rows={})
        event = await make(case, now)
        text = await page.until(lambda text: event.name in text)
        assert '<ul hx-swap-oob="afterbegin:#rows-live">' in text
        script = Script(case)
        for _ in range(3):
            await advance(event, script)
        text = await page.until(lambda text: "#rows-waiting" in text)
        assert f'<li id="event-{event.name}" hx-swap-oob="delete">' in text
        assert 'data-waiting="1"' in text


async def test_nothing_is_sent_to_a_page_that_shows_everything(vera: User) -> None:
    now = datetime.now(UTC)
    event = await make(cases.bad_rollout(now), now)
    async with socket("/ws/now/", vera) as page:
        rows = {event.name: f"live {event.seq}.{event.phase}.{event.status}"}
        await page.hello(rows=rows, frame=await sync_to_async(frame)(vera))
        assert await page.is_quiet(QUIET_SECONDS)


async def test_a_reconnect_brings_what_was_missed_and_removes_what_is_gone(vera: User) -> None:
    now = datetime.now(UTC)
    event = await make(cases.bad_rollout(now), now)
    async with socket("/ws/now/", vera) as page:
        await page.hello(rows={event.name: "live 0.Pending.queued", "he-gone": "live 1.Pending.queued"})
        text = await page.message()
    assert '<li id="event-he-gone" hx-swap-oob="delete">' in text
    assert re.search(rf'id="event-{event.name}"[^>]*hx-swap-oob="true"', text)


async def test_a_burst_is_gathered_into_few_messages_and_loses_nothing(vera: User) -> None:
    now = datetime.now(UTC)
    async with socket("/ws/now/", vera) as page:
        await page.hello(rows={})
        started = asyncio.get_running_loop().time()
        events = [await make(cases.bad_rollout(now, f"w{number}"), now) for number in range(30)]
        while not all(event.name in page.everything for event in events):
            await page.message()
        seconds = asyncio.get_running_loop().time() - started
    for event in events:
        assert page.everything.count(f'data-row="{event.name}"') == 1
    assert len(page.messages) <= 4 + seconds * consumers.RENDERS_A_SECOND + len(events) / 3


async def test_rows_come_in_order_whatever_the_page_shows(vera: User) -> None:
    now = datetime.now(UTC)
    events = [await make(cases.bad_rollout(now, f"w{n}"), now - timedelta(minutes=n)) for n in range(4)]
    labels = {e.name: f"live {e.seq}.{e.phase}.{e.status}" for e in events}
    async with socket("/ws/now/", vera) as page:
        await page.hello(rows={events[1].name: labels[events[1].name]})
        text = await page.message()
    places = dict(re.findall(r'<ul hx-swap-oob="([^"]+)"><li[^>]*id="event-([^"]+)"', text))
    assert places == {
        "afterbegin:#rows-live": events[0].name,
        f"afterend:#event-{events[1].name}": events[2].name,
        f"afterend:#event-{events[2].name}": events[3].name,
    }


async def test_filters_hold_on_the_socket_too(vera: User) -> None:
    now = datetime.now(UTC)
    async with socket("/ws/now/?text=payments", vera) as page:
        await page.hello(rows={})
        other = await make(cases.bad_rollout(now, "orders"), now)
        wanted = await make(cases.bad_rollout(now, "payments"), now)
        await page.until(lambda text: wanted.name in text)
    assert other.name not in page.everything


async def test_a_lost_doorbell_is_made_good(vera: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "RESYNC_SECONDS", 0.3)
    monkeypatch.setattr("healing.dispatch.ring_doorbell", lambda name, seq: None)
    now = datetime.now(UTC)
    async with socket("/ws/now/", vera) as page:
        await page.hello(rows={})
        event = await make(cases.bad_rollout(now), now)
        await page.until(lambda text: event.name in text)


async def test_an_event_page_gets_regions_and_each_timeline_entry_once(vera: User) -> None:
    now = datetime.now(UTC)
    case = cases.bad_rollout(now)
    event = await make(case, now)
    async with socket(f"/ws/events/{event.name}/", vera) as page:
        await page.hello(seq=event.seq, regions={})
        await page.message()
        script = Script(case)
        for _ in range(3):
            await advance(event, script)
        await page.until(lambda text: "Approve this?" in text)
        assert "Ask an admin" in page.everything
    await event.arefresh_from_db()
    assert event.phase == Phase.AWAITING_APPROVAL
    for seq in range(2, event.seq + 1):
        assert page.everything.count(f'id="t-{seq}"') == 1
    assert 'id="t-1"' not in page.everything, "the page had it already"


async def test_an_event_page_that_is_up_to_date_hears_nothing(vera: User) -> None:
    from healing.dashboard import regions
    from healing.dashboard.event_view import load_event

    now = datetime.now(UTC)
    event = await make(cases.bad_rollout(now), now)

    def etags() -> dict[str, str]:
        view = load_event(event.name, vera)
        assert view is not None
        return {region.element_id: region.etag for region in regions.render(view)}

    async with socket(f"/ws/events/{event.name}/", vera) as page:
        shown = await sync_to_async(frame)(vera)
        await page.hello(seq=event.seq, regions=await sync_to_async(etags)(), frame=shown)
        assert await page.is_quiet(QUIET_SECONDS)
        other = await make(cases.bad_rollout(now, "other"), now)
        assert await page.is_quiet(QUIET_SECONDS), other.name


async def test_who_is_not_signed_in_is_sent_away_with_a_code(transactional_db: None) -> None:
    async with socket("/ws/now/", None) as page:
        assert await page.closed() == consumers.SIGNED_OUT


@pytest.mark.parametrize("change", ["inactive", "password", "session"])
async def test_who_loses_access_gets_no_further_message(vera: User, change: str) -> None:
    def take_away() -> None:
        if change == "inactive":
            User.objects.filter(pk=vera.pk).update(is_active=False)
        elif change == "password":
            vera.set_password("another one entirely")
            vera.save()
        else:
            from django.contrib.sessions.models import Session

            Session.objects.all().delete()

    now = datetime.now(UTC)
    async with socket("/ws/now/", vera) as page:
        await page.hello(rows={})
        first = await make(cases.bad_rollout(now, "first"), now)
        await page.until(lambda text: first.name in text)
        await sync_to_async(take_away)()
        await make(cases.bad_rollout(now, "secret"), now)
        assert await page.closed() == consumers.SIGNED_OUT
    assert "secret" not in page.everything


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '"x"', "[" * 5000])
async def test_what_is_no_hello_closes_the_socket(vera: User, text: str) -> None:
    async with socket("/ws/now/", vera) as page:
        await page.send(text)
        assert await page.closed() == consumers.BAD_REQUEST


async def test_odd_values_in_a_hello_are_ignored(vera: User) -> None:
    now = datetime.now(UTC)
    event = await make(cases.bad_rollout(now), now)
    async with socket("/ws/now/", vera) as page:
        await page.hello(rows={event.name: 7, "": [], '"><script>': "live 1"})
        text = await page.message()
    assert event.name in text
    assert "<script>" not in text
    async with socket(f"/ws/events/{event.name}/", vera) as page:
        await page.hello(seq="many", regions=[1])
        assert 'id="t-1"' in await page.message()


async def test_an_event_that_is_not_there_has_no_socket(vera: User) -> None:
    async with socket("/ws/events/he-nothing/", vera) as page:
        assert await page.closed() == consumers.NOT_FOUND


async def test_other_sites_may_not_open_a_socket(vera: User) -> None:
    with pytest.raises(Refused):
        async with socket("/ws/now/", vera, origin="http://evil.example"):
            pass


def test_events_are_rendered_for_the_reader(alice: User, vera: User) -> None:
    from healing.dashboard import regions

    event = story.play(cases.bad_rollout(datetime.now(UTC)), datetime.now(UTC), Phase.AWAITING_APPROVAL)
    assert 'id="approve"' in regions.update(event.name, alice, 0, {}).html
    assert 'id="approve"' not in regions.update(event.name, vera, 0, {}).html
    assert HealingEvent.objects.count() == 1
