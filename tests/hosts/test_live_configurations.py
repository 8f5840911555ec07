"""A configuration changed under a request: applied, refused and taken back, rolled back; and replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bellwire.cli.replay import replayed
from bellwire.labs import load_lab
from tests.hosts.called import called
from tests.hosts.live import LiveLab, asked, lab_file, lab_up, wait_for
from tests.hosts.settled_lists import withdrawn_lists, works_on

PAIRS = 5


async def config(*words: str) -> tuple[int, dict[str, Any]]:
    return await called("config", *words)


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


async def incarnations(live: LiveLab) -> dict[str, int]:
    return {name: one["incarnation"] for name, one in (await live.statuses()).items()}


async def test_a_change_is_applied_refused_and_rolled_back_under_a_request(tmp_path: Path) -> None:
    path, state = lab_file(tmp_path, "two_node_link"), tmp_path / "state"
    lab = load_lab(path, live=True)
    where = [str(path), "--state", str(state)]
    async with lab_up(lab, state) as live:
        await live.supervisor.submit(asked(lab, "long", until_cancelled=True))
        await live.until(lambda: live.delivered("alice", "long") >= 3, "3 pairs")

        # One agent's own business: it alone is restarted, and a dry run restarts nobody.
        edit(path, "    role: end\n", "    role: end\n    purposes: [7]\n")
        edit(path, "  bob:\n    role: end\n    purposes: [7]\n", "  bob:\n    role: end\n")
        code, told = await config("apply", *where, "--dry-run")
        assert (code, told["agents"]) == (0, ["alice"])
        assert told["changes"][0]["path"] == "nodes.alice.purposes"
        assert await incarnations(live) == {"alice": 1, "bob": 1, "midpoint": 1}
        code, told = await config("apply", *where)
        assert (code, told["applied"], told["before"]) == (0, True, 1)
        assert await incarnations(live) == {"alice": 2, "bob": 1, "midpoint": 1}

        # Another instrument than the one that stands there: refused by its agent, taken back with the reason.
        edit(path, "serial_number: 2001", "serial_number: 2002")
        edit(path, "emulated: true", "emulated: false")
        code, told = await config("diff", *where)
        assert "emulated instruments came or went" in told["stop"]
        edit(path, "emulated: false", "emulated: true")
        edit(path, "address: pty:midpoint-herald", "address: pty:nothing-here")
        edit(
            path,
            "serial_number: 2002\n        emulated: true",
            "serial_number: 2002\n        emulated: false",
        )
        code, told = await config("apply", *where, "--within", "8")
        assert (code, told["applied"], told["rolled_back"]) == (1, False, True), told
        assert "midpoint" in told["reason"]
        assert await live.is_ready()

        # A crash meanwhile starts with what is in force, not with the edited file.
        live.supervisor.kill("midpoint")
        await live.until(lambda: live.supervisor.restarts.get("midpoint", 0) == 1, "the station is back")

        await wait_for(live.is_ready, "all are ready with the configuration in force")
        code, told = await config("rollback", *where)
        assert (code, told["applied"]) == (0, True)
        assert (await incarnations(live))["alice"] == 3
        await works_on(state, "long")
        lists = await withdrawn_lists(state, "long", PAIRS)
        code, listed = await config("list", *where)
        assert len(listed["snapshots"]) == 3
    assert lists["alice"] == lists["bob"]
    assert replayed(live.supervisor.run_dir)["same"]
