"""Instruments of an experiment: set with read-back, restored whatever happens, and what a snapshot shows.

An agent with one delay line is played by a control server; its faults are planted.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bellwire.core.errors import ConfigError
from bellwire.drivers.leases import Leases
from bellwire.drivers.odl650 import Odl650
from bellwire.labs import load_lab
from bellwire.runtime.control import ControlServer, socket_path
from bellwire.study import lab_experiments_instruments as instruments
from bellwire.study.lab_experiments import DeviceScan
from bellwire.study.lab_experiments_attached import AttachedLab
from bellwire.study.lab_experiments_instruments import HOLDER, NOTE, HeldInstruments
from bellwire.study.lab_experiments_running import run_of, until_signal
from bellwire.study.lab_experiments_snapshots import differences, snapshot

LABS = Path(__file__).parents[2] / "lab_configs"
BEFORE = 20.0
KEY = "device:middle-delay.delay_ps"


class Agent:
    """The agent `middle` with its delay line, as an agent answers."""

    def __init__(self) -> None:
        self.value: float | None = BEFORE
        self.quality = "good"
        self.now_ns = 0
        self.leases = Leases("middle-delay", lambda: self.now_ns)
        self.written: list[float] = []
        self.refusals = 0  # so many writes are refused from now on
        self.sticks = False  # takes orders and does not move

    def commands(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        async def acquire(fields: dict[str, Any]) -> dict[str, Any]:
            try:
                lease = self.leases.grant(fields["holder"], fields["for_s"])
            except Exception as refused:
                raise ConfigError(str(refused)) from refused
            return {"holder": lease.holder, "token": lease.token}

        async def renew(fields: dict[str, Any]) -> dict[str, Any]:
            return {"token": self.leases.renew(fields["token"], fields["for_s"]).token}

        async def release(fields: dict[str, Any]) -> None:
            self.leases.release(fields["token"])

        async def read(_fields: dict[str, Any]) -> dict[str, Any]:
            return {"parameter": "delay_ps", "value": self.value, "unit": "ps", "quality": self.quality}

        async def write(fields: dict[str, Any]) -> dict[str, Any]:
            try:
                self.leases.check(fields["token"])
            except Exception as refused:
                raise ConfigError(str(refused)) from refused
            if self.refusals > 0:
                self.refusals -= 1
                raise ConfigError("the motor is too hot")
            self.written.append(fields["value"])
            if not self.sticks:
                self.value = fields["value"]
            return {"value": self.value}

        return {
            "device_acquire": acquire,
            "device_renew": renew,
            "device_release": release,
            "device_read": read,
            "device_write": write,
        }


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    played = Agent()
    server = ControlServer(socket_path(tmp_path, "middle"), played.commands())
    await server.start()
    yield played
    await server.close()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "RETRY_S", 0.01)
    monkeypatch.setattr(instruments, "RESTORE_S", 0.3)


def scan() -> DeviceScan:
    parameter = next(one for one in Odl650.parameters if one.name == "delay_ps")
    return DeviceScan(
        key=KEY,
        owner="middle",
        name="delay",
        full_name="middle-delay",
        parameter=parameter,
        values=(20.0, 40.0),
    )


async def test_a_setting_is_written_under_a_lease_and_restored_at_the_end(
    agent: Agent, tmp_path: Path
) -> None:
    held = HeldInstruments(tmp_path, [scan()], tmp_path / NOTE)
    async with held:
        assert json.loads((tmp_path / NOTE).read_text()) == {KEY: BEFORE}
        assert agent.leases.current is not None
        assert agent.leases.current.holder.startswith(HOLDER)
        await held.set((20.0,))
        assert agent.written == []  # it is there already
        await held.set((40.0,))
        assert agent.value == 40.0
        assert await held.lost((40.0,)) is None
        agent.value = 44.0
        assert "somebody else moves it" in str(await held.lost((40.0,)))
    (one,) = held.restored
    assert (one.confirmed, one.before, one.found, agent.value) == (True, BEFORE, BEFORE, BEFORE)
    assert agent.leases.current is None
    assert not (tmp_path / NOTE).exists()


async def test_an_error_restores_too_and_so_does_a_cancellation(agent: Agent, tmp_path: Path) -> None:
    held = HeldInstruments(tmp_path, [scan()], None)

    async def fail() -> None:
        async with held:
            await held.set((40.0,))
            raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        await fail()
    assert agent.value == BEFORE
    moved = asyncio.Event()

    async def work() -> None:
        async with held:
            await held.set((40.0,))
            moved.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await moved.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert agent.value == BEFORE
    assert held.restored[0].confirmed


async def test_further_signals_do_not_cut_the_restoring_short(agent: Agent, tmp_path: Path) -> None:
    held, told = HeldInstruments(tmp_path, [scan()], None), list[str]()

    async def work() -> None:
        async with held:
            await held.set((40.0,))
            agent.refusals = 3  # restoring takes a while, and another signal comes meanwhile
            signal.raise_signal(signal.SIGINT)
            asyncio.get_running_loop().call_later(0.015, signal.raise_signal, signal.SIGTERM)
            await asyncio.Event().wait()

    async with asyncio.timeout(20):
        assert await until_signal(work(), told.append)
    assert agent.value == BEFORE
    assert held.restored[0].confirmed
    assert len(told) == 1
    assert "instruments are restored" in told[0]


async def test_an_instrument_that_does_not_go_back_is_told_and_its_note_stays(
    agent: Agent, tmp_path: Path
) -> None:
    held = HeldInstruments(tmp_path, [scan()], tmp_path / NOTE)
    async with held:
        await held.set((40.0,))
        agent.sticks = True
    (one,) = held.restored
    assert (one.confirmed, one.before, one.found) == (False, BEFORE, 40.0)
    assert (tmp_path / NOTE).exists()
    agent.sticks = False
    # The same command takes the noted value for the one before, although the instrument stands elsewhere.
    again = HeldInstruments(tmp_path, [scan()], tmp_path / NOTE)
    async with again:
        assert again.before == {KEY: BEFORE}
    assert agent.value == BEFORE
    assert not (tmp_path / NOTE).exists()


async def test_an_agent_that_forgot_the_lease_is_asked_for_a_new_one_to_restore(
    agent: Agent, tmp_path: Path
) -> None:
    held = HeldInstruments(tmp_path, [scan()], None)
    async with held:
        await held.set((40.0,))
        agent.leases = Leases("middle-delay", lambda: 0)  # as after a restart
    assert held.restored[0].confirmed
    assert agent.value == BEFORE


async def test_an_instrument_that_refuses_or_stands_elsewhere_ends_the_experiment(
    agent: Agent, tmp_path: Path
) -> None:
    agent.refusals = 1
    with pytest.raises(ConfigError, match="too hot"):
        async with HeldInstruments(tmp_path, [scan()], None) as held:
            await held.set((40.0,))
    agent.sticks = True
    with pytest.raises(ConfigError, match=r"was set to 40.0 and reads 20.0"):
        async with HeldInstruments(tmp_path, [scan()], None) as held:
            await held.set((40.0,))


@pytest.mark.parametrize(("value", "quality"), [(None, "suspect"), (20.0, "stale")])
async def test_what_is_not_known_before_is_not_moved(
    agent: Agent, tmp_path: Path, value: float | None, quality: str
) -> None:
    agent.value, agent.quality = value, quality
    with pytest.raises(ConfigError, match="could not be restored"):
        async with HeldInstruments(tmp_path, [scan()], None):
            raise AssertionError("it must not begin")
    assert agent.leases.current is None
    assert agent.written == []


async def test_an_instrument_that_somebody_holds_is_left_alone(agent: Agent, tmp_path: Path) -> None:
    agent.leases.grant("a calibration", 100.0)
    with pytest.raises(ConfigError, match="held by a calibration"):
        async with HeldInstruments(tmp_path, [scan()], None):
            raise AssertionError("it must not begin")


async def test_the_lease_of_a_killed_experiment_is_waited_for(agent: Agent, tmp_path: Path) -> None:
    agent.leases.grant(f"{HOLDER} (process 1)", 20.0)
    asyncio.get_running_loop().call_later(0.05, setattr, agent, "now_ns", 30 * 10**9)
    async with HeldInstruments(tmp_path, [scan()], None) as held:
        await held.set((40.0,))
    assert held.restored[0].confirmed


# --- snapshots --------------------------------------------------------------------------------------------


def device(value: float, condition: str = "ready", rate: float = 5.0) -> dict[str, Any]:
    def reading(one: float, settable: bool) -> dict[str, Any]:
        return {"value": one, "unit": "", "quality": "good", "settable": settable}

    return {
        "model": "ODL-650",
        "condition": condition,
        "reason": "",
        "parameters": {"delay_ps": reading(value, True), "homed": reading(rate, False)},
    }


def test_a_snapshot_differs_by_settings_and_conditions_beyond_what_a_read_back_may() -> None:
    lab = load_lab(LABS / "optics_double_click.yaml", live=True)
    start = {"middle-delay": device(20.0)}
    within = {"middle-delay": device(20.0 + 0.5 * scan().parameter.tolerance)}
    assert differences(lab, start, within) == []
    beyond = {"middle-delay": device(20.1, "lost")}
    assert differences(lab, start, beyond) == [
        {"instrument": "middle-delay", "what": "condition", "start": "ready", "end": "lost"},
        {"instrument": "middle-delay", "what": "delay_ps", "start": 20.0, "end": 20.1},
    ]


async def test_instruments_whose_agent_is_silent_are_named_in_the_snapshot(tmp_path: Path) -> None:
    lab = load_lab(LABS / "optics_sender_receiver.yaml", live=True)
    found = await snapshot(lab, tmp_path)
    assert set(found) == {"alice-pump", "alice-oven"}
    assert {one["condition"] for one in found.values()} == {"unknown"}


# --- a lab that is up -------------------------------------------------------------------------------------


def test_a_lab_that_runs_another_version_of_the_file_is_not_measured(tmp_path: Path) -> None:
    from bellwire.runtime.runs import create_run, end_run

    lab = load_lab(LABS / "two_node_link.yaml", live=True)
    assert run_of(lab, tmp_path) is None
    old = create_run(tmp_path / "runs", replace(lab, digest="0" * 64))
    with pytest.raises(ConfigError, match="another version of this file"):
        run_of(lab, tmp_path)
    end_run(old, {})
    assert run_of(lab, tmp_path) is None
    running = create_run(tmp_path / "runs", lab)
    assert run_of(lab, tmp_path) == running


async def test_whoever_stops_waiting_takes_the_request_back(tmp_path: Path) -> None:
    from bellwire.study.lab_experiments import measurements
    from bellwire.study.lab_experiments_plan import Asked, plan_experiment

    asked: list[str] = []
    waiting = asyncio.Event()

    def command(name: str, answer: Any) -> Callable[[dict[str, Any]], Any]:
        async def answered(_fields: dict[str, Any]) -> Any:
            asked.append(name)
            if name in ("reports", "link_answers") and asked.count(name) > 1:
                waiting.set()
            return answer

        return answered

    answers: dict[str, Any] = {
        "submit": {},
        "reports": [],
        "cancel": {},
        "create": {},
        "link_answers": [],
        "cancel_create": {},
    }
    server = ControlServer(
        socket_path(tmp_path, "alice"), {name: command(name, answer) for name, answer in answers.items()}
    )
    await server.start()
    experiment = plan_experiment(
        LABS / "two_node_link.yaml", Asked(settings=[], mode="live", swaps=(True, False), repetitions=1)
    )
    attached = AttachedLab(experiment.lab, tmp_path, None)
    try:
        for planned, last in zip(measurements(experiment), ("cancel", "cancel_create"), strict=True):
            waiting.clear()
            task = asyncio.create_task(attached.measure(planned))
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asked[-1] == last
    finally:
        await server.close()
