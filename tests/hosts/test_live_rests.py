"""Rests of a link of a lab of real processes: asked for over the console, agreed on by both agents."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.units import NS_PER_S
from bellwire.labs.free_ports import free_ports
from bellwire.runtime.console import Console
from bellwire.runtime.control import ask
from tests.hosts.live import LiveLab, asked, lab_up, live_lab

LINK = "alice-bob"
REST_S = 4.0


def with_console(sections: dict[str, Any]) -> None:
    sections["console"] = {"address": f"tcp://127.0.0.1:{free_ports(1)[0]}"}


async def test_no_pair_is_born_while_a_link_rests_and_pairs_flow_again_after_it(tmp_path: Path) -> None:
    lab = live_lab(tmp_path, "two_node_link", with_console)
    async with lab_up(lab, tmp_path / "state") as live:
        await live.supervisor.submit(asked(lab, "always", duration_ns=300 * NS_PER_S))
        await live.until(lambda: live.delivered("alice", "always") >= 2, "pairs flow")
        async with Console(lab, live.supervisor.state_dir) as console:
            rest = await console.rest(LINK, REST_S)
            assert 0.4 * REST_S <= (rest.ends_ns - rest.begins_ns) / NS_PER_S <= REST_S + 0.1
            heralds = await heralds_within(live, rest.begins_ns, rest.ends_ns)
            assert len(heralds) >= 2
            assert len(set(heralds)) == 1  # nothing of an attempt came
            with pytest.raises(LocalMisuse, match="cannot rest"):
                await console.rest(LINK, 1_000.0)
            with pytest.raises(ConfigError, match="no link is called"):
                await console.rest("alice-bbo", 1.0)
        before = live.delivered("alice", "always")
        await live.until(lambda: live.delivered("alice", "always") >= before + 10, "pairs flow again")


async def heralds_within(live: LiveLab, begins_ns: int, ends_ns: int) -> list[int]:
    """How many heralds Alice has counted, whenever that was read between two times."""
    found: list[int] = []
    while (asked_ns := time.time_ns()) < ends_ns:
        told = await ask(live.supervisor.state_dir, "alice", "links")
        if asked_ns >= begins_ns and time.time_ns() < ends_ns:
            found.append(int(told["links"][LINK]["counters"]["heralds"]))
        await asyncio.sleep(0.05)
    return found
