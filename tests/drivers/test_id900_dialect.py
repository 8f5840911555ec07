"""The words of the Time Controller: its emulated dialect without any line, and replies as they are read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.drivers.id900_words import (
    bins_of,
    controller_place,
    number_of,
    picoseconds_of,
    referenced_times_of,
    times_of,
)
from bellwire.simulator_backend.devices.id900_data_link import DataLinkProgram
from bellwire.simulator_backend.devices.id900_emulator import Id900Model
from bellwire.simulator_backend.devices.surroundings import Wiring
from bellwire.simulator_backend.devices.tag_stream_line import TagStreamLine
from tests.drivers.tagger_table import GRID


def dialect(licence: str = "MASTER-HR") -> Id900Model:
    return Id900Model(Wiring(GRID), DataLinkProgram(TagStreamLine()), licence=licence)


def say(model: Id900Model, message: str, now_ns: int = 10**18) -> str:
    (answer,) = model.execute(message.encode(), now_ns)
    return answer.octets.decode()


# -- the dialect ------------------------------------------------------------------------------------------


def test_keywords_are_taken_short_or_long_in_any_case() -> None:
    model = dialect()
    for spelling in ("INPU2:THRE", "input2:threshold", "Inpu2:Threshold"):
        say(model, f"{spelling} 0.25V")
        assert say(model, "INPUt2:THREshold?") == "0.2500V"
        say(model, "INPU2:THRE")  # without a value it takes its default
        assert say(model, "INPU2:THRE?") == "1.0000V"
    assert say(model, "INPUTS2:THRE?") == "SCPI_ERR_INVALID_CMD"


def test_a_batch_answers_a_line_for_each_query_and_chains_stay_in_their_subtree() -> None:
    model = dialect()
    say(model, "INPU3:ENAB OFF;THRE -100mV;EDGE FALLING;:DELA3:VALU 1200")
    replies = say(model, "INPU3:ENAB?;THRE?;EDGE?;:DELA3:VALU?;LINK?;:TSCO1:FIR:LINK?")
    assert replies.split("\n") == ["OFF", "-0.1000V", "FALLING", "1200TB", "INPU3", "NONE"]


def test_times_are_taken_in_units_of_the_time_base() -> None:
    model = dialect()
    assert say(model, "REC:DUR 3000 GTB") == "Value set to 3000000000000TB"
    assert say(model, "REC:DUR?;PWID?") == "3000000000000TB\n3000000000000TB"
    assert say(model, "REC:DUR 3V") == "SCPI_ERR_PARAM_TYPE"


def test_the_first_error_ends_a_message_and_a_link_to_nowhere_is_refused() -> None:
    model = dialect()
    assert say(model, "NONSENSE 1;:DELA1:VALU 7") == "SCPI_ERR_INVALID_CMD"
    assert say(model, "DELA1:VALU?") == "0TB"
    assert say(model, "DELA1:LINK INPU9") == "No connection"
    assert say(model, "HIST1:INPO:REF:LINK TSCO5") == "Value set to TSCO5"  # as older firmware spells it
    assert say(model, "HIST1:REF:LINK?") == "TSCO5"


def test_what_a_licence_lacks_is_an_unknown_command() -> None:
    assert say(dialect("MASTER"), "INPU1:HIRES:ERROR?") == "SCPI_ERR_INVALID_CMD"
    assert say(dialect("TCSPC-HR"), "TSCO6:COUN?") == "SCPI_ERR_INVALID_CMD"
    assert say(dialect("MASTER"), "DEVI:RES:BWID?") == "100"
    assert say(dialect("MASTER-HR"), "DEVI:RES:BWID?") == "1"


def test_a_cyclic_counter_shows_the_last_whole_cycle() -> None:
    model, start_ns = dialect(), 10**18
    say(model, "INPU1:COUN:INTE 10;MODE CYCL;RESE", start_ns)
    assert say(model, "INPU1:COUN?", start_ns + 9_999_999) == "0"
    assert say(model, "INPU1:COUN?", start_ns + 10_000_000) == "1000"
    assert say(model, "INPU1:COUN?", start_ns + 25_000_000) == "1000"
    say(model, "INPU1:COUN:MODE ACCU;RESE", start_ns)
    assert say(model, "INPU1:COUN?", start_ns + 25_000_000) == "2500"


def test_the_trigger_level_must_cut_the_pulses_and_the_falling_edge_comes_later() -> None:
    model, start_ns = dialect(), 10**18
    say(model, "INPU1:COUN:MODE ACCU;RESE", start_ns)
    for level, counted in (("1.9V", "1000"), ("2.0V", "0"), ("10mV", "0"), ("-0.5V", "0"), ("1V", "1000")):
        say(model, f"INPU1:THRE {level}", start_ns)
        assert say(model, "INPU1:COUN?", start_ns + 10_000_000) == counted
    say(
        model, "TSCO1:FIR:LINK INPU1;:TSCO1:WIND:ENAB ON;BEGI:LINK INPU2;:TSCO1:WIND:END:LINK INPU2", start_ns
    )
    say(model, "TSCO1:WIND:BEGI:DELA 0;:TSCO1:WIND:END:DELA 8000;:TSCO1:OPOU MUTE", start_ns)
    say(model, "TSCO1:COUN:MODE ACCU;RESE", start_ns)
    assert say(model, "TSCO1:COUN?", start_ns + 10_000_000) == "0"
    say(model, "INPU1:EDGE FALLING", start_ns)  # 10 ns later: 7 ns behind input 2
    assert say(model, "TSCO1:COUN?", start_ns + 10_000_000) == "1000"


def test_generators_give_as_many_pulses_as_they_were_told() -> None:
    model, start_ns = dialect(), 10**18
    say(model, "GEN1:ENAB ON;PPER 1000000;PNUM 30;PLAY;:TSCO1:FIR:LINK GEN1", start_ns)
    say(model, "TSCO1:COUN:MODE ACCU;RESE", start_ns)
    assert say(model, "TSCO1:COUN?", start_ns + 10_500) == "11"
    assert say(model, "TSCO1:COUN?", start_ns + 1_000_000) == "30"
    assert say(model, "GEN1:PNUM INF;PNUM?", start_ns) == "Value set to INF\nINF"


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            (
                "INPU1:COUN?",
                ":TSCO6:WIND:BEGI:DELA",
                " 12GTB",
                " INPU2",
                " NONE",
                "RAW1:ERRORS:CLEAR",
                "REC:PLAY",
                ";",
                "?",
                " -1e400",
                " MAX",
                "#15x",
                "(",
                '"',
                "HIST1:DATA?",
                "DELA8:LINK TSCO32",
                "*IDN?",
                "\0",
            )
        )
        | st.text(max_size=4),
        max_size=8,
    ).map("".join)
)
def test_any_message_gets_one_reply_and_breaks_nothing(message: str) -> None:
    model = dialect()
    (answer,) = model.execute(message.encode("utf-8", "replace"), 10**18)
    assert answer.octets  # a request socket waits for its reply for ever
    assert say(model, "*IDN?", 10**18 + 1).startswith("IDQ,ID900,")
    program = DataLinkProgram(TagStreamLine())
    for command in (message, f"start-stream {message}", f"status {message}", f"stop --id {message}"):
        json.loads(program.carry_out(command, 0))
    assert program.carry_out("list", 0) == "[]"


# -- words --------------------------------------------------------------------------------------------------


def test_replies_carry_their_unit_or_none_and_never_another() -> None:
    assert picoseconds_of("1200TB") == 1200
    assert picoseconds_of(" 3 GTB ") == 3_000_000_000
    assert number_of("-100mV", "V") == pytest.approx(-0.1)
    assert number_of("1", "V") == 1.0
    for reply, unit in (("1200V", "TB"), ("12TB", ""), ("", "TB"), ("1.2.3", "V"), ("SCPI", "TB")):
        with pytest.raises(ValueError, match="is not"):
            number_of(reply, unit)
    with pytest.raises(ValueError, match="whole"):
        picoseconds_of("1.5TB")
    assert bins_of("[1, 2, 0]") == [1, 2, 0]
    for reply in ("{}", "[1, -2]", "[true]", "[1"):
        with pytest.raises(ValueError, match=r"list|counts|Expecting"):
            bins_of(reply)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 2**62), max_size=20), st.integers(1, 10**6))
def test_packed_tags_are_u64_alone_or_with_the_index_of_their_reference(
    values: list[int], period_ps: int
) -> None:
    ordered = sorted(values)
    assert times_of(np.array(ordered, "<u8").tobytes()).tolist() == ordered
    small = [value % period_ps for value in values]
    pairs = np.array([[tag, index] for index, tag in enumerate(small)], "<u8")
    expected = [index * period_ps + tag for index, tag in enumerate(small)]
    assert referenced_times_of(pairs.tobytes(), period_ps).tolist() == expected


def test_tags_out_of_order_or_cut_are_refused() -> None:
    with pytest.raises(ValueError, match="out of order"):
        times_of(np.array([5, 4], "<u8").tobytes())
    with pytest.raises(ValueError, match="multiple"):
        times_of(b"123")
    with pytest.raises(ValueError, match="reshape"):
        referenced_times_of(bytes(8), 5)


def test_an_address_names_the_controller_and_perhaps_a_data_link() -> None:
    alone = controller_place("tcp://10.0.0.5", instrument="tagger")
    assert (alone.controller.port, alone.data_link) == (5555, None)
    whole = controller_place("tcp://10.0.0.5:7,pc,4300", instrument="tagger")
    assert whole.data_link is not None
    assert (whole.data_link.host, whole.data_link.port, whole.stream_port) == ("pc", 6060, 4300)
    with pytest.raises(ConfigError, match="DATALINK_HOST"):
        controller_place("tcp://a,b,c", instrument="tagger")
