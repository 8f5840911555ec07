"""Status, errors and operations that take time of emulated SCPI instruments (IEEE 488.2 chapter 11)."""

import pytest

from bellwire.simulator_backend.devices.message_device import OUTPUT_BYTES_MAX
from bellwire.simulator_backend.devices.scpi_core import ERRORS_MAX
from tests.simulator_backend.devices.scpi_meters import SWEEP_NS, Meter


@pytest.fixture
def meter() -> Meter:
    fresh = Meter()
    fresh.query("*CLS")  # the power-on bit is the subject of a test of its own
    return fresh


# -- status --------------------------------------------------------------------------------------------------


def test_the_power_on_bit_stands_once() -> None:
    meter = Meter()
    assert meter.query("*ESR?;*ESR?") == "128;0"


def test_a_full_queue_ends_with_overflow_and_keeps_what_came_first(meter: Meter) -> None:
    for number in range(ERRORS_MAX + 5):
        meter.query(f"BOGUS{number}")
    assert meter.query("SYST:ERR:COUN?") == str(ERRORS_MAX)
    entries = [meter.query("SYST:ERR?") for _ in range(ERRORS_MAX)]
    assert entries[0] == '-113,"Undefined header;BOGUS0"'
    assert entries[-2] == f'-113,"Undefined header;BOGUS{ERRORS_MAX - 2}"'
    assert entries[-1] == '-350,"Queue overflow"'
    assert meter.query("SYST:ERR?") == '0,"No error"'
    assert meter.query("*ESR?") == str(32 + 8)


def test_the_status_byte_sums_up_what_is_enabled(meter: Meter) -> None:
    assert meter.query("*STB?") == "0"
    meter.query("*ESE 32;*SRE 32;BOGUS")
    assert meter.query("*STB?") == str(4 + 32 + 64)
    assert meter.query("*IDN?;*STB?").endswith(f";{4 + 16 + 32 + 64}")  # a response waits within the message
    assert meter.query("*SRE?;*ESE?") == "32;32"
    meter.query("*CLS")
    assert meter.query("*STB?;*ESR?;SYST:ERR:COUN?") == "0;0;0"
    assert meter.query("*SRE?;*ESE?") == "32;32"


def test_a_serial_poll_asks_for_service_once_for_each_reason(meter: Meter) -> None:
    meter.query("*SRE 4;BOGUS")
    assert [meter.status_byte(False, 0) for _ in range(3)] == [4 + 64, 4, 4]
    meter.query("SYST:ERR?")
    assert meter.status_byte(False, 0) == 0
    meter.query("BOGUS")
    assert meter.status_byte(True, 0) == 4 + 16 + 64


def test_conditions_become_events_when_they_rise_and_show_when_enabled(meter: Meter) -> None:
    meter.query("STAT:QUES:ENAB 2;:STAT:OPER:ENAB 1")
    meter.status.questionable.set_condition(2, True)
    meter.status.questionable.set_condition(4, True)
    assert meter.query("STAT:QUES:COND?") == "6"
    assert meter.query("*STB?") == "8"
    meter.status.questionable.set_condition(6, False)
    assert meter.query("*STB?") == "8"
    assert meter.query("STAT:QUES?;QUES:EVEN?;COND?") == "6;0;0"
    assert meter.query("*STB?;:STAT:QUES:ENAB?") == "0;2"
    meter.status.operation.set_condition(1, True)
    assert meter.query("*STB?") == "128"
    assert meter.query("STAT:OPER?") == "1"
    meter.status.operation.set_condition(8, True)  # the first condition still stands, and is no new event
    assert meter.query("STAT:OPER?;OPER:COND?") == "8;9"
    meter.status.operation.set_condition(9, False)
    meter.status.operation.set_condition(1, True)
    meter.query("STAT:PRES")
    assert meter.query("*STB?;:STAT:OPER:ENAB?;EVEN?") == "0;0;1"


def test_reset_restores_settings_and_leaves_errors_and_enables(meter: Meter) -> None:
    meter.query("*ESE 60;TRIG:COUN 5;BOGUS;*RST")
    assert meter.query("*ESE?;:TRIG:COUN?;:SYST:ERR:COUN?") == "60;1;1"


def test_common_and_system_commands_answer(meter: Meter) -> None:
    assert meter.query("*TST?;*OPC?;SYST:VERS?;*WAI") == "0;1;1999.0"
    meter.query("BOGUS;TRIG:COUN 0")
    assert meter.query("SYSTEM:ERROR:ALL?").count('"') == 4
    assert meter.query("SYST:ERR:NEXT?") == '0,"No error"'
    meter.query("TRIG:SOUR BUS;*TRG")
    meter.group_trigger(0)
    assert meter.triggers == 2


# -- operations that take time -------------------------------------------------------------------------------


def test_completion_is_answered_when_the_operation_ends_and_not_before(meter: Meter) -> None:
    answers = meter.execute(b"SWE;*OPC?", 1_000)
    assert [answer.octets for answer in answers] == [b"1\n"]
    assert answers[0].after_s == pytest.approx(SWEEP_NS / 1e9)


def test_completion_becomes_an_event_when_the_operation_ends(meter: Meter) -> None:
    meter.query("SWE;*OPC", 0)
    assert meter.query("*ESR?", SWEEP_NS - 1) == "0"
    assert meter.query("*ESR?;*ESR?", SWEEP_NS) == "1;0"
    meter.query("SWE;*OPC;*RST", SWEEP_NS)
    assert meter.query("*ESR?", 10 * SWEEP_NS) == "0"  # reset means that nobody waits any more


def test_wait_holds_the_following_units_back(meter: Meter) -> None:
    meter.query("*ESE 1;SWE;*OPC;*WAI;*ESR?", 0)
    (answer,) = meter.execute(b"SWE;*WAI;MEAS?", SWEEP_NS)
    assert answer.after_s == pytest.approx(SWEEP_NS / 1e9)
    (silent,) = meter.execute(b"SWE;*WAI", 3 * SWEEP_NS)
    assert silent.octets == b""
    assert silent.after_s == pytest.approx(SWEEP_NS / 1e9)


def test_responses_beyond_the_output_queue_deadlock_while_more_of_the_message_follows(meter: Meter) -> None:
    meter.memory = bytes(OUTPUT_BYTES_MAX)
    assert meter.query("MEM?;TRIG:COUN?") == ""
    assert meter.query("SYST:ERR?;*ESR?") == '-430,"Query DEADLOCKED";4'
    assert len(meter.query("*IDN?;MEM?")) > OUTPUT_BYTES_MAX  # the last unit is sent while it is made
