"""Heralding FPGA and memory controllers over pseudo-terminals, around one World, when nothing goes wrong."""

from __future__ import annotations

import asyncio

import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.faults import DeviceError, IdentityRefused, OperationRefused
from bellwire.drivers.herald_settings import HeraldSettings
from bellwire.drivers.instrument import Condition
from bellwire.drivers.memory_controller import MemorySettings
from bellwire.drivers.memory_words import SlotState
from tests.drivers.conftest import CLICK_DELAY_NS, PERIOD_NS, Lab


async def test_connecting_changes_nothing_in_the_device(lab: Lab) -> None:
    core = lab.bench.nodes["alice"].core
    assert core is not None
    names = [(r.name, k) for r in core.registers.map if r.mode in ("rw", "shadow") for k in range(r.count)]
    before = [core.registers.value(*name) for name in names]
    await lab.alice.connect()
    assert [core.registers.value(*name) for name in names] == before
    assert lab.alice.state.condition is Condition.READY


async def test_a_wrong_serial_number_is_refused_with_both_numbers_named(lab: Lab) -> None:
    lab.alice._expected_serial_number = "99"
    with pytest.raises(IdentityRefused, match=r"expected '99', found '11'"):
        await lab.alice.connect()
    assert lab.alice.state.condition is Condition.REFUSED


async def test_a_device_of_another_kind_is_refused(lab: Lab) -> None:
    lab.alice.link._path = lab.fpga.link._path
    with pytest.raises(IdentityRefused, match="identity"):
        await lab.alice.connect()


async def test_the_line_has_one_owner(lab: Lab) -> None:
    await lab.alice.connect()
    lab.bob.link._path = lab.alice.link._path
    with pytest.raises(Exception, match="cannot open"):
        await lab.bob.connect()


async def test_both_nodes_and_the_station_tell_the_same_heralds(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    epoch_s = await lab.start_run(7)
    for lane in (0, 1):
        await lab.arm_both(lane, lane, 7, epoch_s)
    await lab.eventually(lambda: len(lab.held["alice"]) == len(lab.held["bob"]) == 2, "two heralds")
    await lab.eventually(lambda: len(lab.records) == 2, "two records")
    assert sorted(lab.held["alice"]) == sorted(lab.held["bob"])
    for _, port, lane, run_short, attempt, stamp_ns in lab.held["alice"]:
        record = next(r for r in lab.records if r.sub_attempt == 2 * attempt + lane)
        assert (port, run_short, record.run_short) == (3, 7, 7)
        assert record.outcome in (1, 2)
        assert record.flags == 0
        assert stamp_ns == epoch_s * 10**9 + attempt * PERIOD_NS + CLICK_DELAY_NS
        edge_ns = epoch_s * 10**9 + record.sub_attempt * PERIOD_NS // 2 + CLICK_DELAY_NS - 104
        assert record.stamp_ns == edge_ns
    last = max(record.sub_attempt for record in lab.records)
    await lab.eventually(lambda: bool(lab.bounds) and lab.bounds[-1][1] >= last, "a bound beyond the heralds")
    assert lab.bounds == sorted(lab.bounds)
    sums = lab.fpga.counters
    assert (sums.succeeded, sums.unknown) == (2, 0)
    assert sums.decided == sums.succeeded + sums.failed == lab.bounds[-1][1] + 1
    await lab.fpga.check_counters()
    assert lab.losses == []


async def test_a_record_arrives_before_the_bound_that_covers_it(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    order: list[tuple[str, int]] = []
    lab.fpga.on_record = lambda record: order.append(("record", record.sub_attempt))
    lab.fpga.on_bound = lambda _, to: order.append(("bound", to))
    epoch_s = await lab.start_run(1)
    for _ in range(8):
        seen = len(lab.held["alice"])
        await lab.arm_both(0, 0, 1, epoch_s)
        await lab.eventually(lambda seen=seen: len(lab.held["alice"]) > seen, "a herald")
        for memory in (lab.alice, lab.bob):
            await memory.release(0)
    await lab.eventually(lambda: sum(kind == "record" for kind, _ in order) == 8, "all records")
    bound = -1
    for kind, attempt in order:
        if kind == "bound":
            bound = attempt
        else:
            assert attempt > bound
    assert bound > 0


async def test_light_outside_the_window_gives_no_herald_anywhere(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    await lab.fpga.configure(HeraldSettings(link_period_ns=PERIOD_NS, lanes=2, start_delay_ns=0))
    epoch_s = await lab.start_run(2)
    await lab.arm_both(0, 0, 2, epoch_s)
    core = lab.bench.stations["station"].core
    assert core is not None
    await lab.eventually(
        lambda: core.registers.value("COUNT", 0) + core.registers.value("COUNT", 2) >= 3, "light"
    )
    assert lab.records == []
    assert lab.held == {"alice": [], "bob": []}


async def test_a_swap_ends_with_the_frame_that_the_rule_demands(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    epoch_s = await lab.start_run(7)
    for lane in (0, 1):
        await lab.arm_both(lane, lane, 7, epoch_s)
    await lab.eventually(lambda: len(lab.records) == 2 and len(lab.held["bob"]) == 2, "two pairs")
    frames = {r.sub_attempt % 2: {1: 2, 2: 3}[r.outcome] for r in lab.records}
    result = await lab.alice.bell_measure(0, 1)
    assert result.status == "ok"
    assert result.outcome is not None
    await lab.bob.release(0, 0xABCD)
    node, slot, operation, _, truth, tag = lab.truth_log[-1]
    assert (node, slot, operation, tag) == ("bob", 0, "release", 0xABCD)
    assert truth.frame == frames[0] ^ frames[1] ^ result.outcome  # type: ignore[attr-defined]


async def test_every_operation_is_carried_out_on_the_world(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    memory = lab.alice
    await memory.initialise(0)
    await memory.initialise(1)
    await memory.pauli(0, 2)  # X: |1>
    await memory.cnot(0, 1)  # |11>
    await memory.hadamard(1)
    await memory.cz(0, 1)  # phase on |1>, so that H brings |0>
    await memory.hadamard(1)
    assert await memory.measure(1, "Z") == 0
    await memory.rotation(0, "x", 3.141592653589793)
    assert await memory.measure(0, "Z") == 0
    operations = [entry[2] for entry in lab.truth_log]
    assert operations == ["pauli_2", "measure_Z", "rotation_x", "measure_Z"]
    status = await memory.read_status()
    assert {slot.state for slot in status.slots} == {SlotState.EMPTY}


async def test_an_operation_on_an_empty_slot_ends_as_failed(lab: Lab) -> None:
    await lab.connect()
    for operation in (lab.alice.hadamard(2), lab.alice.measure(2, "X"), lab.alice.bell_measure(0, 1)):
        with pytest.raises(OperationRefused, match="empty slot"):
            await operation


async def test_an_older_fence_cannot_arm(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    epoch_s = lab.next_epoch_s()
    await lab.alice.arm(0, 3, 0, 1, epoch_s, 0, 10, 2**40 + 5)
    with pytest.raises(OperationRefused, match="fenced"):
        await lab.alice.arm(1, 3, 1, 1, epoch_s, 0, 10, 2**40 + 4)
    await lab.alice.arm(1, 3, 1, 1, epoch_s, 0, 10, 2**40 + 5)
    assert (await lab.alice.read_status()).fence == 2**40 + 5


async def test_an_unknown_port_cannot_arm(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    with pytest.raises(OperationRefused, match="port not configured"):
        await lab.alice.arm(0, 2, 0, 1, lab.next_epoch_s(), 0, 10, 1)


async def test_a_repeated_operation_id_is_answered_from_the_store(lab: Lab) -> None:
    await lab.connect()
    await lab.alice.initialise(0)
    last = (await lab.alice.read_status()).last_operation
    address = lab.alice.link.map["OP_ID"].address
    for _ in range(3):
        await lab.alice.link.write_words(address, (last + 1, 6, 0, 2))  # X, three times under one id
    lab.alice._next_operation = last + 2
    assert await lab.alice.measure(0, "Z") == 1
    assert sum(entry[2] == "pauli_2" for entry in lab.truth_log) == 1


async def test_a_silent_host_makes_the_device_disarm_itself(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    await lab.alice.configure(MemorySettings(port_periods_ns={3: PERIOD_NS}, lease_ms=200))
    await lab.alice.arm(0, 3, 0, 1, lab.next_epoch_s(), 0, 10**9, 1)
    assert lab.world.attempting("alice") == (0,)
    await lab.alice.close()
    await lab.eventually(lambda: lab.world.attempting("alice") == (), "the lease runs out")
    await lab.alice.connect()
    status = await lab.alice.read_status()
    assert status.lease_expired
    assert status.slots[0].state is SlotState.EMPTY


async def test_a_lease_is_kept_while_the_host_lives(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    await lab.alice.configure(MemorySettings(port_periods_ns={3: PERIOD_NS}, lease_ms=400))
    await lab.alice.arm(0, 3, 0, 1, lab.next_epoch_s(), 0, 10**9, 1)
    began = lab.clock()
    await lab.eventually(lambda: lab.clock() - began > 900_000_000, "more than two leases")
    assert not (await lab.alice.read_status()).lease_expired


async def test_a_run_cannot_start_in_the_past(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    with pytest.raises(DeviceError, match="range"):
        await lab.fpga.start_run(1, lab.next_epoch_s() - 5)


async def test_the_period_cannot_change_during_a_run(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    await lab.start_run(1)
    with pytest.raises(DeviceError, match="busy"):
        await lab.fpga.configure(HeraldSettings(link_period_ns=2 * PERIOD_NS, lanes=2))


async def test_misuse_is_refused_before_anything_is_sent(lab: Lab) -> None:
    await lab.connect()
    with pytest.raises(LocalMisuse):
        await lab.fpga.start_run(1, lab.next_epoch_s())
    with pytest.raises(ConfigError):
        await lab.fpga.configure(HeraldSettings(link_period_ns=1001))
    with pytest.raises(LocalMisuse, match="keepalives"):
        await lab.alice.configure(MemorySettings(port_periods_ns={}, lease_ms=10))
    with pytest.raises(LocalMisuse):
        await lab.alice.pauli(0, 4)


async def test_operations_of_several_tasks_do_not_mix(lab: Lab) -> None:
    await lab.connect()
    await asyncio.gather(*(lab.alice.initialise(slot) for slot in range(4)))
    await asyncio.gather(lab.alice.pauli(1, 2), lab.alice.pauli(3, 2))
    bits = await asyncio.gather(*(lab.alice.measure(slot, "Z") for slot in range(4)))
    assert bits == [0, 1, 0, 1]
