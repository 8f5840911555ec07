"""Emulated devices byte by byte with time passed in, and proof that planted protocol faults are noticed.

The list is the second half of fpga.md section 11: losses, bounds, repeats, CRC, commits, epochs, labels.
"""

from __future__ import annotations

from typing import Any

import pytest

from bellwire.drivers.frames import HeraldFlag
from bellwire.drivers.framing import FrameType, Message, Status, encode_frame, pack_words
from tests.simulator_backend.devices.wire import (
    COMMIT,
    PERIOD_NS,
    RUN,
    SETTINGS,
    START_NS,
    S,
    click,
    station,
)

# -- directed cases: each raises AssertionError when the device is wrong ------------------------------


def station_and_node_number_attempts_alike() -> None:
    wire = station()
    wire.credit(100, 0)
    for attempt in (0, 1, 7):
        assert click(wire, attempt) == 1
    assert [record.attempt for record in wire.records()] == [0, 1, 7]


def overflow_drops_the_newest_and_says_which() -> None:
    wire = station(ring_log2=1)
    for attempt in (3, 5, 9, 11):
        assert click(wire, attempt) == 1  # the herald pins fire whether or not the record finds room
    assert wire.records() == []
    assert [(lost.first, lost.last, lost.count, lost.run_short) for lost in wire.lost()] == [
        (9, 9, 1, 42),
        (11, 11, 1, 42),
    ]
    wire.credit(2, 0)
    assert [(r.attempt, r.flags) for r in wire.records()] == [(3, 0), (5, 0)]
    wire.credit(100, 2)
    click(wire, 20)
    click(wire, 21)
    assert [(r.attempt, r.flags) for r in wire.records()[2:]] == [(20, HeraldFlag.LOST_BEFORE), (21, 0)]
    assert wire.read("LOST") == 2
    assert wire.read("STICKY") & 1


def losses_that_were_not_told_yet_keep_their_places() -> None:
    wire = station(ring_log2=0)
    for attempt in (3, 5, 6, 9):
        at_ns = START_NS + attempt * PERIOD_NS + 104
        assert wire.core.click(at_ns, 0, 1, at_ns) == 1
    wire.endpoint.pump()
    assert [(lost.first, lost.last, lost.count) for lost in wire.lost()] == [(5, 6, 2), (9, 9, 1)]


def bounds_follow_the_decision_time() -> None:
    wire = station()
    wire.now_ns = START_NS + 4 * PERIOD_NS + SETTINGS.decide_ns - 1
    assert wire.tick().decided_to == 3
    wire.now_ns += 1
    assert wire.tick().decided_to == 4


def bounds_wait_for_records_that_have_not_left() -> None:
    wire = station()
    click(wire, 5)
    wire.now_ns = START_NS + 10 * PERIOD_NS
    assert wire.tick().decided_to == 4
    wire.credit(10, 0)
    bound = wire.tick()
    assert (bound.decided_to, bound.next_event) == (9, 1)
    assert (
        wire.pushed.index(next(m for m in wire.pushed if m.type == FrameType.EVENTS)) < len(wire.pushed) - 1
    )


def bounds_wait_for_light_on_its_way() -> None:
    wire = station()
    wire.core.expected_clicks = lambda: [(START_NS + 6 * PERIOD_NS + 104, 0)]
    wire.now_ns = START_NS + 10 * PERIOD_NS
    assert wire.tick().decided_to == 5


def a_bound_stays_where_the_run_stopped() -> None:
    wire = station()
    wire.now_ns = START_NS + 10 * PERIOD_NS
    wire.write("CTRL", 0)
    wire.now_ns = START_NS + 90 * PERIOD_NS
    assert wire.tick().decided_to == 9
    assert click(wire, 95) == 0


def the_next_run_id_is_not_put_on_the_last_run() -> None:
    wire = station()
    click(wire, 5)
    wire.now_ns = START_NS + 10 * PERIOD_NS
    wire.write("CTRL", 0)
    wire.write("RUN_ID", 43)
    wire.credit(10, 0)
    bound = wire.tick()
    assert (bound.run_short, bound.decided_to) == (42, 9)
    wire.write("ARM_PPS", START_NS // S + 1)
    wire.write("CTRL", RUN)
    bound = wire.tick()
    assert (bound.run_short, bound.decided_to) == (43, None)


def a_repeated_request_is_answered_and_not_executed_again() -> None:
    wire = station()
    wire.write("LUT_ADDR", 5)
    executed = wire.endpoint.executed
    lut = wire.core.registers.map["LUT_DATA"].address
    frame = encode_frame(Message(FrameType.READ_FIXED, 200, lut, 1))
    wire.send(frame)
    first = wire.replies[-1]
    wire.send(frame)
    assert wire.replies[-1] == first
    assert wire.endpoint.executed == executed + 1
    assert wire.read("LUT_ADDR") == 6


def a_damaged_write_has_no_effect() -> None:
    wire = station()
    address = wire.core.registers.map["SCRATCH"].address
    frame = bytearray(encode_frame(Message(FrameType.WRITE, 201, address, 1, 0, pack_words([0x01010101]))))
    frame[8] ^= 0x02
    wire.send(bytes(frame))
    assert wire.read("SCRATCH") == 0
    assert wire.read("STICKY") & wire.core.registers.map["STICKY"].fields["crc_err"].place(1)


def a_commit_takes_effect_whole_at_the_boundary() -> None:
    wire = station()
    wire.now_ns = START_NS + PERIOD_NS // 2
    wire.write("WIN_START", 50)
    wire.write("WIN_LEN", 60)
    wire.write("CMD", COMMIT)
    wire.write("WIN_LEN", 999)  # meant for the next commit
    assert (wire.read("WIN_START"), wire.read("WIN_LEN")) == (80, 48)
    wire.now_ns = START_NS + PERIOD_NS
    assert (wire.read("WIN_START"), wire.read("WIN_LEN")) == (50, 60)


def a_commit_too_close_to_the_boundary_is_late_and_changes_nothing() -> None:
    wire = station()
    wire.now_ns = START_NS + PERIOD_NS - 10
    wire.write("WIN_LEN", 60)
    wire.write("CMD", COMMIT)
    assert wire.read("STICKY") & wire.core.registers.map["STICKY"].fields["late_commit"].place(1)
    wire.now_ns = START_NS + 2 * PERIOD_NS
    assert wire.read("WIN_LEN") == 48


def a_restart_begins_a_new_time_epoch() -> None:
    epochs = [station(boot_count=count).tick().time_epoch for count in (1, 2)]
    assert epochs[0] != epochs[1]


def a_second_is_labelled_by_its_own_pps() -> None:
    wire = station()
    wire.now_ns = START_NS + 3 * S + 5
    assert wire.read("PPS_COUNT") == START_NS // S + 3
    ticks = wire.read("TIME") - wire.read("PPS_TIME")
    assert ticks * 8 == 0
    click(wire, 2000)
    wire.credit(10, 0)
    stamp = wire.records()[-1].stamp
    pps_ns = wire.read("PPS_COUNT") * S
    assert pps_ns + stamp - wire.read("PPS_TIME") * 8 == START_NS + 2000 * PERIOD_NS


def the_high_word_belongs_to_the_low_word_read_before() -> None:
    wire = station(running=False)
    address = wire.core.registers.map["TIME"].address
    wrap_ticks = 2 << 32  # the counter has passed its first wrap when the device starts
    wire.now_ns = wire.core.clock.zero_ns + (wrap_ticks - 1) * 8
    low = wire.request(FrameType.READ, address, [], 1).words()[0]
    wire.now_ns += 8
    high = wire.request(FrameType.READ, address + 1, [], 1).words()[0]
    assert (low, high) == (0xFFFF_FFFF, 1)


def an_overrun_attempt_is_lost_and_never_a_fail() -> None:
    wire = station(running=False)
    wire.write("PERIOD", 30)  # 240 ns, before the decision at 256 ns
    wire.write("CMD", COMMIT)
    wire.begin()
    wire.credit(10, 0)
    wire.now_ns = START_NS + 5 * 240
    assert wire.core.click(START_NS + 104, 0, 1, wire.now_ns) == 0
    # Attempt 5 has just begun; 0 .. 4 began and were overrun, whether or not there was light.
    assert wire.tick().decided_to == 3
    assert [(lost.first, lost.last, lost.count) for lost in wire.lost()] == [(0, 4, 5)]
    assert wire.records() == []
    assert wire.sticky("attempt_overrun")
    assert wire.read("LOST") == 5


def unacknowledged_records_are_sent_again_on_request() -> None:
    wire = station()
    wire.credit(10, 0)
    for attempt in range(4):
        click(wire, attempt)
    wire.credit(10, 1)
    assert wire.request(FrameType.GET, 0, [2]).status == Status.OK
    assert [record.attempt for record in wire.records()] == [0, 1, 2, 3, 2, 3]
    gone = wire.request(FrameType.GET, 0, [0])
    assert (gone.status, gone.words()) == (Status.RANGE, (1,))


def refused_requests_say_why_and_change_nothing() -> None:
    wire = station()
    scratch = wire.core.registers.map["SCRATCH"].address
    assert wire.request(FrameType.READ, 0x3F, [], 1).status == Status.BAD_ADDRESS
    assert wire.request(FrameType.WRITE, 0, [1]).status == Status.READ_ONLY
    assert wire.request(FrameType.WRITE, scratch, [7, 8]).status == Status.READ_ONLY  # SERIAL follows SCRATCH
    assert wire.read("SCRATCH") == 0
    assert (
        wire.request(FrameType.WRITE, wire.core.registers.map["FINE_ADDR"].address, [256]).status
        == Status.RANGE
    )
    assert wire.request(0x2A, 0, []).status == Status.BAD_TYPE


def words_that_go_to_one_address_stay_there() -> None:
    wire = station(running=False)
    registers = wire.core.registers.map
    scratch, lut = registers["SCRATCH"].address, registers["LUT_DATA"].address
    assert wire.request(FrameType.WRITE_FIXED, scratch, [3, 9]).status == Status.OK
    assert wire.read("SCRATCH") == 9
    wire.write("LUT_ADDR", 5)
    assert wire.request(FrameType.READ_FIXED, lut, [], 3).words() == (1, 0, 0)
    wire.write("LUT_ADDR", 5)
    wire.request(FrameType.WRITE_FIXED, lut, [4, 3])
    wire.write("CMD", COMMIT)
    wire.write("LUT_ADDR", 4)
    assert wire.request(FrameType.READ_FIXED, lut, [], 4).words() == (0, 4, 3, 0)


def a_committed_table_is_not_torn_by_later_writes() -> None:
    wire = station()
    lut = wire.core.registers.map["LUT_DATA"].address
    wire.now_ns = START_NS + PERIOD_NS // 2
    wire.write("LUT_ADDR", 5)
    wire.request(FrameType.WRITE_FIXED, lut, [2])
    wire.write("CMD", COMMIT)
    wire.write("LUT_ADDR", 5)
    wire.request(FrameType.WRITE_FIXED, lut, [4])
    wire.now_ns = START_NS + PERIOD_NS
    wire.write("LUT_ADDR", 5)
    assert wire.request(FrameType.READ_FIXED, lut, [], 1).words() == (2,)


DIRECTED = [
    words_that_go_to_one_address_stay_there,
    a_committed_table_is_not_torn_by_later_writes,
    station_and_node_number_attempts_alike,
    overflow_drops_the_newest_and_says_which,
    losses_that_were_not_told_yet_keep_their_places,
    bounds_follow_the_decision_time,
    bounds_wait_for_records_that_have_not_left,
    bounds_wait_for_light_on_its_way,
    a_bound_stays_where_the_run_stopped,
    the_next_run_id_is_not_put_on_the_last_run,
    a_repeated_request_is_answered_and_not_executed_again,
    a_damaged_write_has_no_effect,
    a_commit_takes_effect_whole_at_the_boundary,
    a_commit_too_close_to_the_boundary_is_late_and_changes_nothing,
    a_restart_begins_a_new_time_epoch,
    a_second_is_labelled_by_its_own_pps,
    the_high_word_belongs_to_the_low_word_read_before,
    an_overrun_attempt_is_lost_and_never_a_fail,
    unacknowledged_records_are_sent_again_on_request,
    refused_requests_say_why_and_change_nothing,
]


@pytest.mark.parametrize("case", DIRECTED, ids=lambda case: case.__name__)
def test_the_device_keeps_the_protocol(case: Any) -> None:
    case()
