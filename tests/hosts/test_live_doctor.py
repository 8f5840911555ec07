"""Faults planted in a lab that is up, and each found with its remedy."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bellwire.runtime.control import ask
from bellwire.runtime.supervisor import Supervisor
from tests.hosts.called import called
from tests.hosts.live import PATIENCE_S, LiveLab, asked, lab_up, live_lab, wait_for
from tests.runtime.other_schema import command_line_with


async def doctor(lab: str | None, state: Path) -> list[dict[str, str]]:
    code, told = await called("doctor", str(lab), "--state", str(state))
    assert (code == 1) is (told["errors"] > 0)
    return [one for one in told["findings"] if not one["what"].startswith("the clock of this computer")]


async def found(lab: str | None, state: Path, words: str) -> dict[str, str]:
    """Wait until the doctor finds it."""
    named: list[dict[str, str]] = []
    seen: list[dict[str, str]] = []

    async def is_found() -> bool:
        seen[:] = await doctor(lab, state)
        named[:] = [one for one in seen if words in one["what"]]
        return bool(named)

    await wait_for(is_found, f"finding {words!r}; {seen}", PATIENCE_S)
    return named[0]


async def test_faults_of_a_lab_at_work_are_found_with_their_remedies(tmp_path: Path) -> None:
    lab, state = live_lab(tmp_path, "two_node_link"), tmp_path / "state"
    async with lab_up(lab, state) as live:
        assert await doctor(lab.path, state) == []
        await dark(live, state, lab.path)
        await ask(state, "emulator", "power_off", device="midpoint-timing")
        one = await found(lab.path, state, "midpoint-timing is")
        assert (one["severity"], "--connect" in one["remedy"]) == ("error", True)
        await ask(state, "emulator", "power_on", device="midpoint-timing")
        live.supervisor.kill("bob")
        one = await found(lab.path, state, "bob ended unasked and was started again 1 times")
        assert "bob.log" in one["remedy"]
        (state / "keys" / "alice.key").chmod(0o644)
        live.supervisor.kill("alice")
        one = await found(lab.path, state, "alice refuses to run")
        assert "chmod 600" in one["what"]
        assert one["remedy"].endswith(f"bellwire restart {lab.path} alice --state {state}")


async def dark(live: LiveLab, state: Path, lab: str | None) -> None:
    """The link is dark under a request: no heralds, and the request falls short."""
    await ask(state, "emulator", "change_link", link="alice-bob", success_probability=1e-12)
    await live.supervisor.submit(
        asked(live.supervisor.lab, "short", count=200, deadline_ns=4_000_000_000_000 // 200)
    )
    one = await found(lab, state, "alice-bob is wanted and heralds nothing")
    assert (one["severity"], f"bellwire links {lab}" in one["remedy"]) == ("error", True)
    one = await found(lab, state, "request short has 0 pairs where")
    assert one["remedy"].startswith(f"bellwire replan {lab} short")


def swap(path: Path, swapped: Path) -> None:
    text = path.read_text(encoding="utf-8")
    swapped.write_text(text.replace("serial_number: 1001", "serial_number: 1009"), encoding="utf-8")


async def test_another_instrument_and_an_agent_that_died_are_found(tmp_path: Path) -> None:
    """The bench has another controller than the file says, and bob's agent speaks another schema."""
    lab, state = live_lab(tmp_path, "two_node_link"), tmp_path / "state"
    assert lab.path is not None
    swapped = tmp_path / "swapped.yaml"
    swap(Path(lab.path), swapped)
    ours = command_line_with("bob", Path(lab.path))

    def command_line(name: str, state_dir: Path, run_dir: Path) -> list[str]:
        words = ours(name, state_dir, run_dir)
        return [str(swapped) if word == lab.path and name == "emulator" else word for word in words]

    supervisor = Supervisor(lab, state, command_line=command_line)
    starting = asyncio.create_task(supervisor.start())
    try:
        one = await found(lab.path, state, "alice-memory is another instrument than the lab file says")
        assert "serial_number" in one["remedy"]
        one = await found(lab.path, state, "alice: bob is refused")
        assert "pip install --upgrade" in one["remedy"]
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await supervisor.stop()
