"""What an agent does when a holder vanishes: exactly what was written becomes safe, or what it was."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bellwire.core.instrument_messages import OnLoss
from bellwire.drivers.instrument import Condition
from bellwire.drivers.leases import LeaseLost, LeaseRefused
from bellwire.runtime.console_hold import HeldOverBus
from bellwire.runtime.equipment_commands import equipment_commands
from tests.runtime.buses import until
from tests.runtime.desk_bench import READY_S, DeskBench, desk_bench

SCRIPT = Path(__file__).parent / "holding_console.py"
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def doomed_console(
    bench: DeskBench, on_loss: OnLoss, lease_s: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, once it has written; killed at the end, whatever its state."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        str(bench.path),
        str(bench.state),
        on_loss,
        str(lease_s),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(READY_S):
            assert await process.stdout.readline() == b"written\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def gone(held: HeldOverBus) -> None:
    """No renewal of this hold leaves any more, as if its holder hung."""
    assert held._renewing is not None
    held._renewing.cancel()


@pytest.mark.parametrize("on_loss", ["safe", "restore"])
async def test_a_killed_console_leaves_what_it_wrote_safe_or_as_it_was(
    on_loss: OnLoss, tmp_path: Path
) -> None:
    async with desk_bench(tmp_path) as bench:
        alice = bench.agents["alice"]
        oven, spare = alice.driver("oven"), alice.driver("spare")
        await oven.configure({"temperature_set_c": 30.0, "heating": True})
        await spare.configure({"heating": True})
        async with doomed_console(bench, on_loss, 1.0) as process:
            assert await oven.read_temperature_set_c() >= 80.0
            process.kill()
            done = "instrument_made_safe" if on_loss == "safe" else "instrument_restored"
            await until(lambda: alice.health.counts[done] == 1, "the oven is secured")
        # Asked over its own line: what the instrument says.
        assert await oven.read_heating() is (on_loss == "restore")
        assert (await oven.read_temperature_set_c() == 30.0) is (on_loss == "restore")
        assert await spare.read_heating()  # held, and never written: left alone
        assert alice.health.counts["lease_lost"] == 1
        assert oven.leases.current is None
        told = await equipment_commands(alice.equipment)["device_read"](
            {"device": "oven", "parameter": "heating"}
        )
        assert told["value"] is (on_loss == "restore")


async def test_a_stopped_console_wakes_to_a_lost_lease_and_its_late_orders_move_nothing(
    tmp_path: Path,
) -> None:
    async with desk_bench(tmp_path) as bench:
        alice = bench.agents["alice"]
        oven = alice.driver("oven")
        async with doomed_console(bench, "safe", 1.0) as process:
            process.send_signal(signal.SIGSTOP)
            await until(lambda: alice.health.counts["instrument_made_safe"] == 1, "the oven is safe")
            assert not await oven.read_heating()
            set_c = await oven.read_temperature_set_c()
            process.send_signal(signal.SIGCONT)
            assert process.stdout is not None
            async with asyncio.timeout(READY_S):
                assert (await process.stdout.readline()).startswith(b"lost: ")
                assert await process.wait() == 3
        assert await oven.read_temperature_set_c() == set_c
        assert not await oven.read_heating()


async def test_a_new_life_of_the_console_ends_the_leases_of_the_old_one_at_once(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench:
        alice = bench.agents["alice"]
        oven = alice.driver("oven")
        async with doomed_console(bench, "safe", 600.0) as process:
            process.kill()
            await process.wait()
            async with bench.console() as console:
                await until(lambda: alice.health.counts["instrument_made_safe"] == 1, "the oven is safe")
                assert not await oven.read_heating()
                async with console.hold(["alice-oven"], "next") as held:
                    assert await held.read("alice-oven", "heating") is False


async def test_while_an_instrument_is_secured_nobody_else_gets_it_however_long_it_is_away(
    tmp_path: Path,
) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        alice = bench.agents["alice"]
        oven = alice.driver("oven")
        await oven.configure({"temperature_set_c": 30.0})
        async with console.hold(["alice-oven"], "doomed", lease_s=0.8, on_loss="restore") as held:
            await held.write("alice-oven", "temperature_set_c", 70)
            await bench.emulated.stop("alice-oven")
            gone(held)
            await until(lambda: alice.health.counts["lease_lost"] == 1, "the lease runs out")
            with pytest.raises(LeaseRefused, match="held by its agent, which secures it after doomed"):
                async with console.hold(["alice-oven"], "next"):
                    pass
            await bench.emulated.start("alice-oven")
            await until(lambda: alice.health.counts["instrument_restored"] == 1, "it is what it was")
            assert await oven.read_temperature_set_c() == 30.0
            async with console.hold(["alice-oven"], "next"):
                pass


async def test_an_instrument_that_does_not_take_its_old_values_is_made_safe(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        alice = bench.agents["alice"]
        oven = alice.driver("oven")
        await oven.configure({"temperature_set_c": 60.0, "heating": True})
        async with console.hold(["alice-oven"], "doomed", lease_s=0.8, on_loss="restore") as held:
            await held.write("alice-oven", "temperature_set_c", 40)
            await held.write("alice-oven", "temperature_max_c", 50)  # 60 C are refused from now on
            oven.set_temperature_max_c = oven.set_power_max_w  # and the limit does not go up again
            gone(held)
            await until(lambda: alice.health.counts["instrument_made_safe"] == 1, "it is safe")
        assert alice.health.counts["instrument_not_secured"] == 1
        assert alice.health.counts["instrument_restored"] == 0
        assert not await oven.read_heating()


async def test_who_made_it_safe_himself_finds_it_safe_although_he_asked_for_the_old_values(
    tmp_path: Path,
) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        alice = bench.agents["alice"]
        oven = alice.driver("oven")
        await oven.set_heating(True)
        async with console.hold(["alice-oven"], "careful", lease_s=0.8, on_loss="restore") as held:
            await held.write("alice-oven", "heating", True)
            await held.safe("alice-oven")
            gone(held)
            await until(lambda: alice.health.counts["instrument_made_safe"] == 1, "it is safe")
        assert not await oven.read_heating()


async def test_a_lease_that_was_only_read_under_ends_without_moving_anything(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        alice = bench.agents["alice"]
        await alice.driver("oven").set_heating(True)
        async with console.hold(["alice-oven"], "reader", lease_s=0.8) as held:
            await held.read("alice-oven", "temperature_c")
            gone(held)
            await until(lambda: alice.health.counts["lease_lost"] == 1, "the lease runs out")
            await until(lambda: alice.driver("oven").leases.current is None, "it is free")
        assert alice.health.counts["instrument_made_safe"] == 0
        assert await alice.driver("oven").read_heating()


async def test_an_order_under_way_when_the_lease_ends_is_over_before_the_instrument_is_secured(
    tmp_path: Path,
) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        alice = bench.agents["alice"]
        oven = alice.driver("oven")
        set_really = oven.set_temperature_c
        begun, order = asyncio.Event(), []

        async def slowly(value: float) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()  # it never arrives
            finally:
                order.append("abandoned")

        async def safe() -> None:
            order.append("safe")

        oven.set_temperature_c, oven.safe_state = slowly, safe
        async with console.hold(["alice-oven"], "mover", lease_s=0.8) as held:
            moving = asyncio.create_task(held.write("alice-oven", "temperature_set_c", 70))
            await begun.wait()
            gone(held)
            with pytest.raises(LeaseLost, match="mover has run out"):
                await moving
            await until(lambda: alice.health.counts["instrument_made_safe"] == 1, "it is safe")
        oven.set_temperature_c = set_really
        assert order == ["abandoned", "safe"]


async def converter_settled(bench: DeskBench) -> None:
    (converter,) = bench.agents["bob"].equipment.composites
    await until(lambda: converter.settled, "the converter is at its point")


async def test_a_composite_leaves_what_is_held_alone_and_goes_on_afterwards(tmp_path: Path) -> None:
    async with desk_bench(tmp_path, ("bob",)) as bench, bench.console() as console:
        bob = bench.agents["bob"]
        (converter,) = bob.equipment.composites
        await converter_settled(bench)
        oven, pump = bob.driver("oven"), bob.driver("pump")
        async with console.hold(["bob-oven"], "phase-match") as held:
            assert converter.standing == "held by phase-match"
            assert not bob.equipment.ready
            assert bob.equipment.states()["bob-converter"]["reason"] == "held by phase-match"
            assert await held.write("bob-oven", "temperature_set_c", 26) == 26.0
            # Neither the composite nor the driver's memory of its configuration takes it back: a probe of
            # the driver looks at the configured temperature, and finds what was written.
            async with oven._configuration_lock:
                await oven._probe()
            assert await oven.read_temperature_set_c() == 26.0
            async with console.hold(["bob-pump"], "pump-scan"):
                assert converter.standing == "held by phase-match, pump-scan"
            assert converter.standing == "held by phase-match"
        await converter_settled(bench)
        async with oven._configuration_lock:
            await oven._probe()  # the driver does not bring the holder's value back, either
        assert await oven.read_temperature_set_c() == 25.0
        assert await pump.read_emission()
        assert bob.equipment.ready


async def test_a_composite_takes_over_after_the_agent_has_secured_its_parts(tmp_path: Path) -> None:
    async with desk_bench(tmp_path, ("bob",)) as bench, bench.console() as console:
        bob = bench.agents["bob"]
        await converter_settled(bench)
        async with console.hold(["bob-pump", "bob-oven"], "doomed", lease_s=0.8) as held:
            await held.write("bob-pump", "power_set_mw", 40)
            gone(held)
            await until(lambda: bob.health.counts["instrument_made_safe"] == 1, "the pump is off")
            await converter_settled(bench)
        assert await bob.driver("pump").read_emission()
        assert bob.driver("pump").state.condition is Condition.READY
