"""What becomes of instruments, of the old calibration and of the record, however a procedure ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.procedure import Finding, Unfit
from bellwire.calibration.records import CalibrationRecord, Check, Outcome, Quantity
from bellwire.calibration.running import RunTerms, run_procedure
from bellwire.calibration.store import CalibrationStore
from bellwire.calibration.work import Work
from bellwire.core.errors import ConfigError, DeviceFault
from bellwire.testing.emulator_thread import LoopThread
from tests.calibration.instruments import BENCH, DELAY, OVEN, TwoInstruments, two_instruments

Measure = Callable[[Work], Awaitable[Finding]]


@dataclass(frozen=True)
class Step:
    """A procedure that a test writes."""

    measure: Measure
    name: str = "delay"
    meaning: str = "What the test does."
    needs: tuple[str, ...] = ()
    valid_for_s: float = 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return None if bench.delay is not None else "no delay line is named"

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return ("oven", "delay")

    async def run(self, work: Work) -> Finding:
        return await self.measure(work)


def draw(figure: Figure) -> None:
    figure.subplots().plot([1.0, 2.0, 3.0])


def found(delay_ps: float, **more: object) -> Finding:
    finding = Finding(
        quantities={"delay_ps": Quantity(delay_ps, 0.5, "ps")},
        checks=(Check("delay_ps", delay_ps, 10.0, 640.0, "ps"),),
        settings={DELAY: delay_ps},
        arrays={"points": np.arange(3)},
        draw=draw,
    )
    return replace(finding, **more)  # type: ignore[arg-type]


async def moves(work: Work) -> None:
    """What a measurement does on its way: both instruments moved, the delay line twice."""
    await work.set(OVEN.setpoint, 40.0)
    await work.set(DELAY, 300.0)
    await work.set(DELAY, 310.0)


async def good(work: Work) -> Finding:
    await moves(work)
    return found(320.0)


@pytest.fixture
async def bench(emulator_thread: LoopThread, tmp_path: Path) -> AsyncIterator[TwoInstruments]:
    async with two_instruments(emulator_thread, tmp_path) as both:
        yield both


@pytest.fixture
def store(tmp_path: Path) -> CalibrationStore:
    return CalibrationStore(tmp_path / "calibrations")


async def run(
    step: Step, bench: TwoInstruments, store: CalibrationStore, link: LinkBench = BENCH, **terms: object
) -> CalibrationRecord:
    table = {step.name: step, "darks": Step(good, "darks")}
    given = RunTerms(operator="ada", software="1", **terms)  # type: ignore[arg-type]
    return await run_procedure(step, link, bench.access, store, table, given)


async def stands(bench: TwoInstruments, delay_ps: float, setpoint_c: float = 25.0) -> None:
    """Where the instruments are; the delay line is set in steps of half a femtosecond."""
    assert await bench.value(DELAY) == pytest.approx(delay_ps, abs=0.01)
    assert await bench.value(OVEN.setpoint) == setpoint_c
    assert all(driver.leases.current is None for driver in bench.drivers.values())


def told(store: CalibrationStore) -> list[tuple[Outcome, str]]:
    """Outcomes and reasons from the first to the last."""
    return [(one.outcome, one.reason) for one in reversed(store.history("alice-bob", "delay"))]


async def test_what_passes_is_applied_by_read_back_and_everything_else_goes_back(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    record = await run(Step(good), bench, store)
    assert record.outcome is Outcome.PASSED, record.reason
    await stands(bench, 320.0)
    assert record.applied == {"delay delay_ps": pytest.approx(320.0, abs=0.01)}
    assert record.before == {"delay delay_ps": pytest.approx(100.0, abs=0.01)}
    assert [one.name for one in record.instruments] == ["oven", "delay"]
    assert record.instruments[0].driver == "TC200"
    assert store.file(record.plot).read_bytes().startswith(b"\x89PNG")
    with np.load(store.file(record.data)) as kept:
        assert kept["points"].tolist() == [0, 1, 2]
    assert store.in_force("alice-bob", "delay", record.ended_ns) == record


async def test_what_fails_its_limits_goes_back_and_ends_the_old_calibration(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    old = await run(Step(good), bench, store)

    async def bad(work: Work) -> Finding:
        await moves(work)
        return found(645.0)

    record = await run(Step(bad), bench, store)
    assert (record.outcome, record.applied) == (Outcome.FAILED, {})
    assert "delay_ps = 645" in record.reason
    assert "NOT MET" in record.reason
    assert record.quantities["delay_ps"].value == 645.0
    await stands(bench, 320.0)
    assert store.in_force("alice-bob", "delay", old.ended_ns) is None


async def test_limits_of_the_operator_stand_in_place_of_the_usual_ones(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    link = replace(BENCH, limits={"delay.delay_ps": (None, 200.0)})
    record = await run(Step(good), bench, store, link)
    assert record.outcome is Outcome.FAILED
    assert record.checks[0].high == 200.0


async def test_a_measurement_that_cannot_go_on_has_failed_and_shows_what_it_saw(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    async def lightless(work: Work) -> Finding:
        await moves(work)
        raise Unfit("no light", arrays={"counts": np.zeros(2)}, draw=draw)

    record = await run(Step(lightless), bench, store)
    assert (record.outcome, record.reason) == (Outcome.FAILED, "no light")
    assert store.file(record.data).exists()
    assert store.file(record.plot).exists()
    await stands(bench, 100.0)


async def test_an_interrupted_procedure_leaves_everything_as_it_was_and_says_so(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    old = await run(Step(good), bench, store)
    moved = asyncio.Event()

    async def endless(work: Work) -> Finding:
        await moves(work)
        moved.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.get_running_loop().create_task(run(Step(endless), bench, store))
    await moved.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stands(bench, 320.0)
    last = store.latest("alice-bob", "delay")
    assert last is not None
    assert (last.outcome, last.reason) == (Outcome.ABORTED, "interrupted")
    assert store.in_force("alice-bob", "delay", last.ended_ns) == old


async def test_a_second_interruption_does_not_stop_the_way_back(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    moved = asyncio.Event()
    task: asyncio.Task[CalibrationRecord] | None = None

    async def endless(work: Work) -> Finding:
        await moves(work)
        moved.set()
        try:
            await asyncio.Event().wait()
        finally:
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
        raise AssertionError

    task = asyncio.get_running_loop().create_task(run(Step(endless), bench, store))
    await moved.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stands(bench, 100.0)
    assert told(store)[-1] == (Outcome.ABORTED, "interrupted")


async def test_a_lost_instrument_does_not_keep_the_others_from_going_back(
    bench: TwoInstruments, store: CalibrationStore, emulator_thread: LoopThread
) -> None:
    async def unplugged(work: Work) -> Finding:
        await moves(work)
        await asyncio.to_thread(emulator_thread.run, bench.emulators["delay"].emulator.stop())
        await work.set(DELAY, 200.0)
        raise AssertionError

    record = await run(Step(unplugged), bench, store)
    assert record.outcome is Outcome.ABORTED
    assert "the safe state of delay is NOT CONFIRMED" in record.reason
    assert await bench.value(OVEN.setpoint) == 25.0
    assert "oven" not in record.reason


async def test_a_disk_that_refuses_leaves_the_old_calibration_and_a_record_that_it_began(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    old = await run(Step(good), bench, store)

    async def while_the_disk_breaks(work: Work) -> Finding:
        await moves(work)
        (store.folder / "data").rename(store.folder / "gone")
        (store.folder / "data").write_bytes(b"")  # no file can be made below a file
        return found(330.0)

    record = await run(Step(while_the_disk_breaks), bench, store)
    assert record.outcome is Outcome.ABORTED
    assert "cannot be written" in record.reason
    await stands(bench, 320.0)
    assert store.in_force("alice-bob", "delay", record.ended_ns) == old
    assert any(reason.startswith("begun") for _, reason in told(store))


async def test_a_store_that_breaks_with_the_last_record_undoes_what_was_applied(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    """The settings were applied and read back already when the record could not be written."""

    async def while_the_store_breaks(work: Work) -> Finding:
        await moves(work)
        store.path.unlink()
        for beside in store.folder.glob(f"{store.path.name}-*"):
            beside.unlink()
        store.path.mkdir()
        return found(330.0)

    with pytest.raises(DeviceFault, match="cannot be"):
        await run(Step(while_the_store_breaks), bench, store)
    await stands(bench, 100.0)


async def test_a_held_instrument_is_refused_by_the_name_of_its_holder(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    lease = bench.drivers["delay"].leases.grant("grace", 60.0)
    record = await run(Step(good), bench, store)
    assert record.outcome is Outcome.ABORTED
    assert "held by grace" in record.reason
    bench.drivers["delay"].leases.release(lease.token)
    await stands(bench, 100.0)


async def test_a_gate_stays_closed_until_its_need_is_in_force_or_the_operator_opens_it(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    step = Step(good, needs=("darks",))
    closed = await run(step, bench, store)
    assert (closed.outcome, closed.reason) == (
        Outcome.ABORTED,
        "needs darks first, which is not in force",
    )
    await stands(bench, 100.0)
    opened = await run(step, bench, store, overrides=("darks",))
    assert opened.outcome is Outcome.PASSED
    assert opened.overrides == ("without darks, by the operator",)
    await run(Step(good, "darks"), bench, store)
    after = await run(step, bench, store)
    assert (after.outcome, after.overrides) == (Outcome.PASSED, ())


async def test_a_link_that_lacks_the_parts_is_refused_in_words(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    with pytest.raises(ConfigError, match="delay of alice-bob: no delay line is named"):
        await run(Step(good), bench, store, replace(BENCH, delay=None))
    assert store.links() == ()


async def test_an_order_under_a_lost_lease_is_refused_and_what_was_moved_is_named(
    bench: TwoInstruments, store: CalibrationStore
) -> None:
    async def robbed(work: Work) -> Finding:
        await moves(work)
        leases = bench.drivers["delay"].leases
        assert leases.current is not None
        leases.release(leases.current.token)
        leases.grant("grace", 60.0)
        await work.set(DELAY, 200.0)
        raise AssertionError

    record = await run(Step(robbed), bench, store)
    assert record.outcome is Outcome.ABORTED
    assert "held by grace" in record.reason
    assert await bench.value(OVEN.setpoint) == 25.0
