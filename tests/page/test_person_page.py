"""The page of one person in NiceGUI's own simulated browser: what it shows, and what its buttons may do.

The lab does not run: its agents are silent, which is what the page must show of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nicegui.testing.user import User
from nicegui.testing.user_simulation import user_simulation

from bellwire.northbound.agents import ControlAgents
from bellwire.northbound.service import Northbound
from bellwire.northbound.tokens import Principal
from bellwire.page.components.form_dialog import FormDialog
from bellwire.page.components.live_table import LiveTable
from bellwire.page.person_page import PersonPage
from bellwire.page.site import LivePage
from tests.page.telling import NOW_NS, SECOND_NS, ended, look, request, status, three_nodes

OPERATOR = Principal("experiment", "operator", "1")
VIEWER = Principal("watcher", "viewer", "2")
PATIENCE_S = 30.0


class Seat:
    """Who sits there; a test may let somebody else sit down, or nobody."""

    def __init__(self, who: Principal | None) -> None:
        self.who = who


@asynccontextmanager
async def sitting(folder: Path, seat: Seat) -> AsyncIterator[tuple[User, LivePage, PersonPage]]:
    service = Northbound(lab=three_nodes(), state_dir=folder, agents=ControlAgents(folder))
    await service.store.open()
    live = LivePage(service)
    built: list[PersonPage] = []

    def root() -> None:
        built.append(live.build(lambda: seat.who))

    async with user_simulation(root) as user:
        await user.open("/")
        yield user, live, built[-1]
    await service.store.close()


def tables(user: User) -> dict[str, LiveTable]:
    return {table._props["caption"]: table for table in user.find(LiveTable).elements}


def texts(table: LiveTable, column: str) -> list[str | None]:
    return [row["cells"][column]["text"] for row in table.rows]


async def test_every_part_shows_the_view_and_the_same_view_is_sent_once(tmp_path: Path) -> None:
    async with sitting(tmp_path, Seat(OPERATOR)) as (user, live, _):
        view = live.watch.model.take(look(), [request()], [ended(1, "suspended", "too slow")])
        live.watch.on_view(view)
        await user.should_see("All is well")
        shown = tables(user)
        assert texts(shown["Requests"], "request") == ["q"]
        assert texts(shown["Links"], "link") == ["alice-relay", "relay-bob"]
        assert texts(shown["Nodes and links of the network"], "what")[:3] == ["alice", "relay", "bob"]
        assert texts(shown["What happened to requests, the newest first"], "what") == ["suspended: too slow"]
        outbox = shown["Links"].client.outbox
        outbox.updates.clear()
        live.watch.on_view(view)
        assert not [element for element in outbox.updates.values() if isinstance(element, LiveTable)]


async def test_trouble_changes_the_verdict_and_opens_the_list_of_faults(tmp_path: Path) -> None:
    async with sitting(tmp_path, Seat(OPERATOR)) as (user, live, _):
        live.watch.on_view(live.watch.model.take(look(), (), ()))
        await user.should_not_see("Faults")
        lost = {"west": status("west", herald="lost")}
        live.watch.on_view(live.watch.model.take(look(NOW_NS + SECOND_NS, answers=lost), (), ()))
        await user.should_see("1 fault")
        await user.should_see("Faults")


async def test_a_real_look_at_a_lab_that_is_down_says_so(tmp_path: Path) -> None:
    async with sitting(tmp_path, Seat(OPERATOR)) as (user, live, _):
        await live.watch.look()
        await user.should_see("No word from the lab")


async def test_a_viewer_has_no_buttons_and_is_refused_in_words_if_his_browser_has(tmp_path: Path) -> None:
    async with sitting(tmp_path, Seat(VIEWER)) as (user, live, person):
        live.watch.on_view(live.watch.model.take(look(), [request(by="watcher")], ()))
        await user.should_not_see("Start a request")
        assert tables(user)["Requests"].rows[0]["orders"] == []
        person._on_request("cancel", "q")
        (dialog,) = user.find(FormDialog).elements
        user.find(FormDialog).trigger("send", {})
        await refused(dialog)
        assert dialog.refusal == "Refused: this needs the role operator; watcher is viewer"


async def test_an_order_that_is_refused_leaves_its_form_open_with_the_reason(tmp_path: Path) -> None:
    async with sitting(tmp_path, Seat(OPERATOR)) as (user, live, _):
        live.watch.on_view(live.watch.model.take(look(), [request()], ()))
        user.find(marker="start").click()
        (dialog,) = user.find(FormDialog).elements
        assert dialog.form is not None
        user.find(FormDialog).trigger("send", {"from": "alice", "to": "alice"})
        await refused(dialog)
        assert dialog.refusal == "Refused: the two nodes are the same"
        user.find(FormDialog).trigger("send", {"from": "alice", "to": "bob", "count": "3"})
        await refused(dialog, "does not answer")
        assert dialog.refusal == "Refused: alice does not answer"
        user.find(FormDialog).trigger("shut")
        assert dialog.form is None


async def test_a_session_that_is_over_orders_nothing_and_is_shown_nothing_more(tmp_path: Path) -> None:
    seat = Seat(OPERATOR)
    async with sitting(tmp_path, seat) as (user, live, person):
        live.watch.on_view(live.watch.model.take(look(), [request()], ()))
        person._on_request("cancel", "q")
        seat.who = None
        (dialog,) = user.find(FormDialog).elements
        user.find(FormDialog).trigger("send", {})
        await refused(dialog)
        assert "session is over" in dialog.refusal
        live.watch.on_view(live.watch.model.take(look(NOW_NS + SECOND_NS), (), ()))
        assert live.watch.watchers == 0
        assert texts(tables(user)["Requests"], "request") == ["q"]


async def refused(dialog: FormDialog, what: str = "") -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not dialog.refusal or dialog._props["busy"] or what not in dialog.refusal:
        assert time.monotonic() < give_up_s, "no refusal came"
        await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NiceGUI looks for its storage in the working directory; the page keeps nothing there."""
    monkeypatch.chdir(tmp_path)
