"""The overview follows the service by events, and says when it is not connected."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.browser.data import STORE, freshness

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.backend import Backend
    from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

_HIDE = """(state) => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def up_store(backend: Backend) -> str:
    """Return a store that is up and on the first page."""
    return next(key for key, store in backend.stores.items() if store["state"] == "up")


async def wait_for_requests(backend: Backend, count: int) -> None:
    """Wait until the page has requested the fleet this many times."""
    while sum(line.startswith("GET /fleet?") for line in backend.requests) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def wait_for_answers(backend: Backend, page: Page, count: int) -> None:
    """Wait until the page has requested the fleet this many times, and has shown the answers."""
    await wait_for_requests(backend, count)
    answered = """performance.getEntriesByType("resource")
        .filter(({ name }) => name.includes("/fleet?")).length"""
    while await page.evaluate(answered) < count:
        await page.evaluate("new Promise((done) => requestAnimationFrame(done))")
    await page.evaluate("new Promise((done) => requestAnimationFrame(done))")


async def test_counts_and_rows_change_without_a_reload(
    open_page: OpenPage, backend: Backend
) -> None:
    store = up_store(backend)
    async with open_page() as page:
        row = page.locator("#rows tr", has_text=store)
        await expect(row).to_contain_text("Up")
        await expect(page.locator("#connection")).to_have_text("Live")
        await page.evaluate("window.notReloaded = true")
        backend.now = "2024-03-12T17:21:00Z"
        await backend.change(store, "down", "inactive")
        await expect(page.get_by_role("button", name="4 down")).to_be_visible()
        await expect(page.get_by_role("button", name="99 up")).to_be_visible()
        await expect(row).to_contain_text("Down")
        await expect(row).to_contain_text("down, just now")
        await expect(page.locator("#now")).to_contain_text("17:21 UTC")
        # the order is the server's: it is fetched again
        position = page.locator("#rows tr", has_text=store).locator("xpath=preceding-sibling::tr")
        await expect(position).to_have_count(3)
        assert await page.evaluate("window.notReloaded")


async def test_a_removed_store_vanishes_without_a_reload(
    open_page: OpenPage, backend: Backend
) -> None:
    store = up_store(backend)
    async with open_page() as page:
        row = page.locator("#rows tr", has_text=store)
        await expect(row).to_contain_text("Up")
        await expect(page.locator("#connection")).to_have_text("Live")
        await wait_for_answers(backend, page, 2)
        await page.evaluate("window.notReloaded = true")
        await backend.remove(store)
        await expect(row).to_have_count(0)
        await expect(page.get_by_role("button", name="99 up")).to_be_visible()
        assert await page.evaluate("window.notReloaded")


async def test_an_event_is_shown_before_the_list_is_fetched_again(
    open_page: OpenPage, backend: Backend
) -> None:
    store = up_store(backend)
    async with open_page() as page:
        row = page.locator("#rows tr", has_text=store)
        await expect(row).to_contain_text("Up")
        await wait_for_answers(backend, page, 2)
        await page.route("**/fleet?*", lambda _route: None)
        await backend.change(store, "down", "inactive")
        await expect(row).to_contain_text("Down")
        await expect(page.get_by_role("button", name="4 down")).to_be_visible()
        await page.unroute_all(behavior="ignoreErrors")


async def test_a_store_comes_into_the_filter_and_leaves_it(
    open_page: OpenPage, backend: Backend
) -> None:
    store = up_store(backend)
    async with open_page("/?state=down") as page:
        rows = page.locator("#rows tr")
        await expect(rows).to_have_count(3)
        await backend.change(store, "down", "inactive")
        await expect(rows).to_have_count(4)
        await backend.change(STORE, "up", "active")
        await expect(rows).to_have_count(3)
        await expect(page.get_by_role("link", name=STORE)).to_have_count(0)


async def test_changes_that_an_event_does_not_list_are_fetched(
    open_page: OpenPage, backend: Backend
) -> None:
    store = up_store(backend)
    async with open_page("/?state=down") as page:
        await expect(page.locator("#rows tr")).to_have_count(3)
        await wait_for_answers(backend, page, 2)
        backend.stores[store]["state"] = "down"
        await backend.send_update(more=True)
        await expect(page.locator("#rows tr")).to_have_count(4)


async def test_the_focus_stays_on_its_row_when_rows_move(
    open_page: OpenPage, backend: Backend
) -> None:
    store = up_store(backend)
    async with open_page() as page:
        await page.get_by_role("link", name=store).focus()
        await backend.change(store, "down", "inactive")
        await expect(
            page.locator("#rows tr", has_text=store).locator("xpath=preceding-sibling::tr")
        ).to_have_count(3)
        await expect(page.get_by_role("link", name=store)).to_be_focused()


async def test_a_lost_connection_is_shown_and_made_again_and_no_change_is_missed(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page("/?state=down") as page:
        connection = page.locator("#connection")
        await expect(connection).to_have_text("Live")
        backend.fleet_events.hold_back()
        backend.fleet_events.cut()
        await expect(connection).to_have_text("Not connected")
        # while nobody listens
        backend.stores[STORE]["state"] = "up"
        backend.fleet_events.go_on()
        await expect(connection).to_have_text("Live")
        await expect(page.locator("#rows tr")).to_have_count(2)
        await expect(page.get_by_role("button", name="2 down")).to_be_visible()


async def test_where_too_many_clients_listen_the_page_fetches_by_itself(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.fleet_events.refused = HTTPStatus.SERVICE_UNAVAILABLE
    async with open_page("/?state=down", clock=True, expected_errors=("503",)) as page:
        await expect(page.locator("#connection")).to_have_text("Not connected")
        backend.stores[STORE]["state"] = "up"
        await page.clock.run_for(5_000)
        await expect(page.locator("#rows tr")).to_have_count(2)
        backend.fleet_events.refused = None
        await page.clock.run_for(5_000)
        await expect(page.locator("#connection")).to_have_text("Live")


def delayed(part: str, reason: str) -> dict[str, Any]:
    """Return the freshness of data that is two minutes old."""
    at, as_of = "2024-03-12T17:22:00Z", "2024-03-12T17:20:00Z"
    return freshness(at=at, as_of=as_of, delayed=True, part=part, reason=reason)


@pytest.mark.parametrize("path", ["/", f"/store/{STORE}"])
@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("broker", "The service has lost its message broker."),
        ("workers", "The workers do not keep up: No worker owns partition 3 now."),
    ],
)
async def test_old_data_is_shown_as_delayed_with_the_part_that_is_to_blame(
    open_page: OpenPage, backend: Backend, path: str, part: str, words: str
) -> None:
    async with open_page(path) as page:
        connection, notice = page.locator("#connection"), page.get_by_role("alert")
        await expect(connection).to_have_text("Live")
        await expect(notice).to_be_empty()

        backend.freshness = delayed(part, "no worker owns partition 3 now")
        await backend.send_update()
        await expect(connection).to_have_text("Delayed: data of 17:20, 2 min ago")
        await expect(notice).to_contain_text(words)
        await expect(notice).to_contain_text("Data of 12 Mar 2024, 17:20 UTC is shown. Retrying.")
        await expect(notice).not_to_contain_text("again later")

        backend.freshness = freshness()
        await backend.send_update()
        await expect(connection).to_have_text("Live")
        await expect(notice).to_be_empty()


async def test_the_age_of_the_data_grows_while_nothing_comes_in(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.freshness = delayed("broker", "away")
    async with open_page(clock=True) as page:
        await expect(page.locator("#connection")).to_have_text("Delayed: data of 17:20, 2 min ago")
        await backend.fleet_events.listened()
        for _ in range(8):
            await page.clock.run_for(10_000)
            await backend.send_update()
        backend.freshness = {**backend.freshness, "at": "2024-03-12T17:23:30Z"}
        await backend.send_update()
        await expect(page.locator("#connection")).to_have_text("Delayed: data of 17:20, 3 min ago")


async def test_by_the_clock_of_the_data_an_old_newest_poll_is_shown(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.freshness = freshness(at="2024-03-12T20:25:00Z", newest_poll_stale=True)
    async with open_page() as page:
        await expect(page.locator("#connection")).to_have_text("Newest poll: 3 h ago")
        await expect(page.get_by_role("alert")).to_be_empty()


async def test_a_service_that_is_silent_is_not_connected(
    open_page: OpenPage, backend: Backend
) -> None:
    """A frozen process keeps its connections, but the page receives nothing."""
    async with open_page(clock=True) as page:
        connection, notice = page.locator("#connection"), page.get_by_role("alert")
        await expect(connection).to_have_text("Live")
        backend.fleet_events.hold_back()
        await page.clock.run_for(13_000)
        await expect(connection).to_have_text("Not connected")
        await expect(notice).to_contain_text("The service does not answer, or sends no updates.")
        backend.fleet_events.go_on()
        await expect(connection).to_have_text("Live")
        await expect(notice).to_be_empty()


async def test_a_hidden_page_listens_to_nothing(open_page: OpenPage, backend: Backend) -> None:
    async with open_page("/?state=down", clock=True) as page:
        await backend.fleet_events.listened()
        # a page whose clock stands still draws no frame that a test could wait for
        await wait_for_requests(backend, 2)
        await expect(page.locator("#rows tr")).to_have_count(3)
        await page.evaluate(_HIDE, "hidden")
        await backend.fleet_events.left()
        count = len(backend.requests)
        await page.clock.run_for(300_000)
        assert len(backend.requests) == count
        backend.stores[STORE]["state"] = "up"
        await page.evaluate(_HIDE, "visible")
        await expect(page.locator("#rows tr")).to_have_count(2)
        await backend.fleet_events.listened()


async def test_changed_counts_are_announced_to_screen_readers(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page() as page:
        await expect(page.locator("#rows tr")).to_have_count(50)
        announcement = page.locator("#announcements")
        await expect(announcement).to_have_attribute("role", "status")
        await backend.change(up_store(backend), "down", "inactive")
        await expect(announcement).to_have_text("4 down, 5 unknown, 99 up, 12 closed")


async def test_clocks_move_on_even_without_events(open_page: OpenPage, backend: Backend) -> None:
    async with open_page(clock=True) as page:
        await expect(page.locator("#now")).to_contain_text("17:20 UTC")
        await backend.fleet_events.listened()
        backend.now = "2024-03-12T17:30:00Z"
        await page.clock.run_for(65_000)
        await expect(page.locator("#now")).to_contain_text("17:30 UTC")
        await expect(page.locator("#rows tr").first).to_contain_text("21 min ago")
