"""Rolling restarts of a lab at work: nothing is lost, and a restart that fails says why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bellwire.core.errors import ConfigError
from bellwire.runtime.control import ask
from bellwire.runtime.rolling import rolling_order
from tests.hosts.live import asked, lab_up, live_lab, wait_for
from tests.hosts.settled_lists import withdrawn_lists, works_on

PAIRS = 8


async def test_every_agent_is_restarted_in_turn_while_a_request_is_served(tmp_path: Path) -> None:
    """Stations, relay and ends: each has a new incarnation that its peers have seen, the request works on
    after each, and both ends list the same pairs."""
    lab, state = live_lab(tmp_path), tmp_path / "state"
    order = rolling_order(lab)
    assert order == ["west", "east", "relay", "alice", "bob"]
    async with lab_up(lab, state) as live:
        await live.supervisor.submit(asked(lab, "long", until_cancelled=True))
        await live.until(lambda: live.delivered("alice", "long") >= 3, "3 pairs")
        for name in order:
            (done,) = await ask(state, "supervisor", "restart", nodes=[name], within_s=60.0)
            assert (done["node"], done["incarnation"]) == (name, 2)
            await works_on(state, "long")
            found = await live.statuses()
            assert found[name]["ready"]
            assert {one["peer_versions"][name]["incarnation"] for at, one in found.items() if at != name} == {
                2
            }
        lists = await withdrawn_lists(state, "long", PAIRS)
        assert live.supervisor.restarts == {}, "a restart that was asked for is no crash"
    assert lists["alice"] == lists["bob"]
    numbers = [row[0] for row in lists["alice"]]
    assert numbers == sorted(set(numbers)), "no pair is counted twice"


async def test_a_restart_that_fails_says_why_and_the_next_one_heals(tmp_path: Path) -> None:
    lab, state = live_lab(tmp_path, "two_node_link"), tmp_path / "state"
    async with lab_up(lab, state) as live:
        with pytest.raises(ConfigError, match=r'no agent is called "alise" \(did you mean "alice"'):
            await ask(state, "supervisor", "restart", nodes=["alise"])
        key = state / "keys" / "alice.key"
        key.chmod(0o644)
        with pytest.raises(ConfigError, match="readable by others"):
            await ask(state, "supervisor", "restart", nodes=["alice"], within_s=60.0)
        key.chmod(0o600)
        before = live.supervisor.pids().get("alice")

        async def another_alice() -> bool:
            return live.supervisor.pids().get("alice", before) != before

        first = asyncio.create_task(
            ask(state, "supervisor", "restart", nodes=["alice", "bob"], within_s=60.0)
        )
        await wait_for(another_alice, "alice is another process")
        with pytest.raises(ConfigError, match="another change of this lab is under way"):
            await ask(state, "supervisor", "restart", nodes=["bob"], within_s=60.0)
        assert {one["node"] for one in await first} == {"alice", "bob"}
        await wait_for(live.is_ready, "the lab is ready again")
        told = await ask(state, "supervisor", "status")
        assert (told["lab"], told["refused"], set(told["processes"])) == (
            "two_node_link",
            {},
            {"alice", "bob", "midpoint", "emulator"},
        )
