"""The engine of emulated SCPI instruments against IEEE 488.2, SCPI-1999 and what scpi-parser (8866159)
answers.
"""

import itertools
import math
import re
from typing import ClassVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.scpi_core import COMMON, ERRORS_MAX, INPUT_BYTES_MAX, ScpiDevice
from bellwire.simulator_backend.devices.scpi_errors import ERROR_TEXTS
from bellwire.simulator_backend.devices.scpi_parameters import MULTIPLIERS, Boolean, Number
from bellwire.simulator_backend.devices.scpi_tree import Command, CommandTree
from tests.simulator_backend.devices.scpi_meters import Meter


@pytest.fixture
def meter() -> Meter:
    fresh = Meter()
    fresh.query("*CLS")  # the power-on bit is the subject of a test of its own
    return fresh


# -- what an independent parser answers ----------------------------------------------------------------------


def test_errors_read_as_those_of_scpi_parser_do(meter: Meter) -> None:
    meter.query("BOGUS:CMD")
    assert meter.query("SYST:ERR?") == '-113,"Undefined header;BOGUS:CMD"'
    assert meter.query("SYST:ERR?") == '0,"No error"'
    assert meter.query("*ESR?") == "32"
    meter.query("OUTP 1 V")
    assert meter.query("SYST:ERR?").startswith('-138,"Suffix not allowed')


# -- headers -------------------------------------------------------------------------------------------------

HEADERS = {
    ("CORR", "CORRECTION"): ("WAV", "WAVELENGTH"),
    ("DISP", "DISPLAY"): ("TEXT", "TEXT"),
    ("TRIG", "TRIGGER"): ("SOUR", "SOURCE"),
}


@pytest.mark.parametrize("first", HEADERS)
def test_short_and_long_forms_are_the_same_command_and_nothing_between_is(
    meter: Meter, first: tuple[str, str]
) -> None:
    second = HEADERS[first]
    answers = {meter.query(f"{a}:{b}?") for a, b in itertools.product(first, second)}
    assert len(answers) == 1
    assert answers != {""}
    for between in {first[1][:length] for length in range(1, len(first[1]))} - {first[0]}:
        assert meter.query(f"{between}:{second[0]}?") == ""
        assert meter.query("SYST:ERR?").startswith("-113")


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.sampled_from(["corr:wav", "sens:corr:wav", "SENSE:CORRECTION:WAVELENGTH", "Corr:Wavelength"]),
    st.data(),
    st.sampled_from(["", ":"]),
    st.sampled_from(["850NM", "0.85 UM", "850e-9", "8.5E-7M", " 850000 PM", "#H0"]),
)
def test_any_case_and_any_form_of_a_header_sets_the_same(
    header: str, data: st.DataObject, colon: str, value: str
) -> None:
    capitals = data.draw(st.lists(st.booleans(), min_size=len(header), max_size=len(header)))
    written = "".join(m.upper() if up else m.lower() for m, up in zip(header, capitals, strict=True))
    meter = Meter()
    meter.query(f"{colon}{written} {value}")
    assert meter.wavelength_m == pytest.approx(850e-9 if value != "#H0" else 1550e-9, rel=1e-12)
    assert meter.query("SYST:ERR?")[:4] == ("-222" if value == "#H0" else '0,"N')


def test_optional_nodes_may_be_left_out(meter: Meter) -> None:
    forms = ["MEAS?", "MEAS:POW?", "MEAS:SCAL?", "MEASure:SCALar:POWer?", ":meas:scal:pow?"]
    assert {meter.query(form) for form in forms} == {"1.250000000E-03"}


def test_a_numeric_suffix_that_was_not_sent_is_one(meter: Meter) -> None:
    meter.query("SOUR:VOLT 1;:SOUR2:VOLT:LEV 2;:OUTPUT2 ON")
    assert meter.voltages_v == {1: 1.0, 2: 2.0}
    assert meter.query("SOURCE1:VOLT?;:SOUR2:VOLTAGE?;:OUTP?;:OUTP2:STAT?") == (
        "1.000000000E+00;2.000000000E+00;0;1"
    )


@pytest.mark.parametrize("suffix", ["0", "3", "99999999"])
def test_a_numeric_suffix_out_of_range_is_its_own_error(meter: Meter, suffix: str) -> None:
    meter.query(f"SOUR{suffix}:VOLT 1")
    assert meter.query("SYST:ERR?").startswith('-114,"Header suffix out of range')


def test_a_command_after_a_semicolon_continues_at_the_level_of_the_one_before(meter: Meter) -> None:
    meter.query("TRIG:SOUR EXT;COUN 7;*CLS;COUN 8")  # a common command leaves the level alone
    assert (meter.source, meter.count) == ("EXT", 8)
    assert meter.query("TRIG:SOUR?;COUN?;:CORR:WAV?") == "EXT;8;1.550000000E-06"
    meter.query("TRIG:SOUR BUS;:COUN 9")
    assert meter.query("SYST:ERR?") == '-113,"Undefined header;COUN"'
    assert (meter.source, meter.count) == ("BUS", 8)


def test_a_wrong_unit_does_not_take_the_others_with_it(meter: Meter) -> None:
    assert meter.query("*IDN?;NONSENSE?;TRIG:COUN?") == "bellwire,Meter,000123,1.0;1"
    assert meter.query("SYST:ERR:COUN?") == "1"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("TRIG:COUN", -109),
        ("TRIG:COUN 1,2", -108),
        ("TRIG:COUN 0", -222),
        ("TRIG:COUN 1001", -222),
        ("TRIG:COUN 1e999", -222),
        ("TRIG:COUN 1e99999", -123),
        ("TRIG:COUN " + "1" * 300, -124),
        ("TRIG:COUN 5 V", -138),
        ("TRIG:COUN 'five'", -104),
        ("TRIG:COUN FIVE", -224),
        ("TRIG:COUN DEF", -224),
        ("TRIG:COUN +", -121),
        ("TRIG:COUN 1,,2", -103),
        ("TRIG:COUN #Hxyz", -121),
        ("TRIG:SOUR NOWHERE", -224),
        ("TRIG:SOUR 1", -104),
        ("CORR:WAV 850 NV", -131),
        ("CORR:WAV 850 ZM", -131),
        ("CORR:WAV 2000 NM", -222),
        ("CORR:WAV? 5", -104),
        ("CORR:WAV? MAX,MIN", -108),
        ("OUTP MAYBE", -224),
        ("OUTP 'ON'", -104),
        ("DISP:TEXT 'open", -151),
        ("DISP:TEXT 'a'b'", -151),
        ("DISP:TEXT 5", -104),
        ("DISP:TEXT 'longer than twenty characters'", -223),
        ("ROUT:CLOS (@1,9)", -222),
        ("ROUT:CLOS (@1,)", -171),
        ("ROUT:CLOS (1)", -171),
        ("ROUT:CLOS (@1", -171),
        ("ROUT:CLOS 1", -104),
        ("MEM #15abc", -161),
        ("MEM 5", -104),
        ("FAIL", -221),
        ("TRIGGERSOURCES:X", -112),
        ("*IDN?1", -111),
        ("?", -102),
        ("\x80CORR", -101),
        ("*RST?", -113),
        ("CORR:WAV:DEEPER 1", -113),
        ("*TRG", -211),
        ("*ESE 256", -222),
    ],
)
def test_each_mistake_has_its_own_error(meter: Meter, message: str, code: int) -> None:
    assert meter.query(message) == ""
    first = meter.query("SYST:ERR?")
    assert first.startswith(f'{code},"{ERROR_TEXTS[code]}')
    assert meter.query("SYST:ERR?") == '0,"No error"'
    # IEEE 488.2 section 11.5.1: command errors are bit 5, execution errors bit 4.
    assert meter.query("*ESR?") == ("32" if code > -200 else "16")


# -- parameters ----------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.integers(-9999, 9999), st.integers(0, 5), st.sampled_from(sorted(MULTIPLIERS)), st.booleans())
def test_multipliers_are_those_of_ieee_488_2(digits: int, shift: int, prefix: str, spaced: bool) -> None:
    """Table 7-2 of the standard, with its exception that MHZ is mega."""
    meter = Meter()
    meter.query(f"FREQ {digits / 10**shift}{' ' if spaced else ''}{prefix}HZ")
    factor = 1e6 if prefix in ("M", "MA") else MULTIPLIERS[prefix]
    assert meter.frequency_hz == pytest.approx(digits / 10**shift * factor, rel=1e-12)
    meter.query(f"POW:ATT {digits / 10**shift} DBM")
    if digits / 10**shift <= 30:
        assert meter.power_w == pytest.approx(1e-3 * 10 ** (digits / 10**shift / 10), rel=1e-9)


@pytest.mark.parametrize(("word", "metres"), [("MIN", 400e-9), ("MAXimum", 1700e-9), ("def", 1550e-9)])
def test_min_max_and_def_are_asked_for_and_set(meter: Meter, word: str, metres: float) -> None:
    assert float(meter.query(f"CORR:WAV? {word}")) == pytest.approx(metres, rel=1e-9)
    meter.query(f"CORR:WAV {word}")
    assert float(meter.query("CORR:WAV?")) == pytest.approx(metres, rel=1e-9)


def test_a_limit_may_be_what_the_device_says_at_this_moment(meter: Meter) -> None:
    meter.wavelength_max_m = 1100e-9
    assert float(meter.query("CORR:WAV? MAX")) == pytest.approx(1100e-9)
    meter.query("CORR:WAV 1550 NM")
    assert meter.query("SYST:ERR?").startswith("-222")


@pytest.mark.parametrize(
    ("written", "count"), [("7.4", 7), ("7.5", 8), ("#HFF", 255), ("#q17", 15), ("#B101", 5), ("1E2", 100)]
)
def test_integers_are_rounded_and_may_be_of_another_base(meter: Meter, written: str, count: int) -> None:
    meter.query(f"TRIG:COUN {written}")
    assert meter.count == count


def test_strings_keep_semicolons_commas_and_doubled_quotes(meter: Meter) -> None:
    meter.query("""DISP:TEXT "a;b,c ""d'";TEXT?""")
    assert meter.text == "a;b,c \"d'"
    meter.query("DISP:TEXT 'it''s', ON")
    assert meter.text == "IT'S"


def test_channel_lists_hold_single_channels_and_ranges_in_both_directions(meter: Meter) -> None:
    assert meter.query("ROUT:CLOS (@1, 3:5,8:7);CLOS?") == "1,3,4,5,8,7"


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.binary(max_size=300), st.lists(st.integers(1, 60), max_size=12))
@example(b"\n;#15'\"(\n", [1] * 12)
def test_a_block_comes_back_as_it_was_in_whatever_pieces_it_arrives(block: bytes, cuts: list[int]) -> None:
    meter = Meter()
    length = str(len(block)).encode()
    header = b"#%d%s" % (len(length), length)
    stream = b"MEM " + header + block + b";*IDN?\nMEM?\n"
    buffer = bytearray()
    messages: list[bytes] = []
    at = 0
    for cut in [*cuts, len(stream)]:
        buffer += stream[at : at + cut]
        at += cut
        messages += meter.split(buffer)
    assert len(messages) == 2
    assert (
        b"".join(answer.octets for answer in meter.execute(messages[0], 0)) == b"bellwire,Meter,000123,1.0\n"
    )
    assert [answer.octets for answer in meter.execute(messages[1], 0)] == [header + block + b"\n"]


def test_an_input_that_never_ends_is_dropped_and_said(meter: Meter) -> None:
    buffer = bytearray(b"x" * (INPUT_BYTES_MAX + 1))
    assert meter.split(buffer) == []
    assert not buffer
    assert meter.query("SYST:ERR?") == '-363,"Input buffer overrun"'


FRAGMENTS = [
    *(b"*IDN?", b"MEAS:SCAL?", b"SOUR2:VOLT", b"DISP:TEXT ", b"MEM ", b"MAX", b"1E5", b" 1", b" V", b"?"),
    *(b";", b":", b",", b"#", b"#3", b"#0", b"'", b'"', b"(@", b")", b"\r", b"\xff"),
]


@settings(derandomize=True, deadline=None, max_examples=600)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from(FRAGMENTS),
        ),
        max_size=12,
    ).map(b"".join)
)
def test_no_bytes_whatever_do_more_than_fill_the_error_queue(octets: bytes) -> None:
    meter = Meter()
    for message in meter.split(bytearray(octets + b"\n")):
        meter.changes(message)
        for answer in meter.execute(message, 0):
            assert answer.octets.endswith(b"\n")
    meter.execute(octets, 0)  # as a transport with an END of its own delivers it
    errors = meter.query("SYST:ERR:ALL?")
    codes = [int(code) for code in re.findall(r'(-?\d+),"(?:[^"]|"")*"', errors)]
    assert codes
    assert set(codes) <= set(ERROR_TEXTS)
    assert len(codes) <= ERRORS_MAX
    assert meter.query("*IDN?") == Meter.identity


# -- tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "why"),
    [
        (["VOLTage", "[SOURce]:VOLTage"], "same command"),
        (["STARt", "STARk"], "both STAR"),
        (["volt"], "capitals"),
        (["[VOLTage]"], "optional"),
        (["VOLT[:LEVel"], "not closed"),
        (["VOLT]"], "brackets"),
        (["VOLT-AGE"], "'-'"),
    ],
)
def test_a_table_that_contradicts_itself_is_our_bug(patterns: list[str], why: str) -> None:
    with pytest.raises(LocalMisuse, match=re.escape(why)):
        CommandTree(Command(pattern, "none") for pattern in patterns)


def test_a_command_that_contradicts_itself_is_our_bug() -> None:
    with pytest.raises(LocalMisuse, match="optional"):
        Command("A", "a", (Boolean(optional=True), Boolean()))
    with pytest.raises(LocalMisuse, match="ranges"):
        Command("OUTPut#", "a")
    with pytest.raises(LocalMisuse, match="limits"):
        Command("VOLTage", "a", limits=Number())


def test_a_query_without_answer_and_a_set_with_one_are_our_bugs() -> None:
    class Wrong(ScpiDevice):
        commands: ClassVar[tuple[Command, ...]] = (
            Command("ASK?", "answer_nothing"),
            Command("SET", "self_test"),
        )

        def answer_nothing(self) -> None:
            return

    with pytest.raises(LocalMisuse, match="ASK"):
        Wrong().query("ASK?")
    with pytest.raises(LocalMisuse, match="SET"):
        Wrong().query("SET")


def test_a_device_may_carry_out_a_common_command_otherwise() -> None:
    class Old(Meter):
        commands: ClassVar[tuple[Command, ...]] = (Command("*IDN?", "own_name"),)

        def own_name(self) -> str:
            return "OLD"

    assert Old().query("*IDN?;:TRIG:COUN?") == "OLD;1"


def test_every_pattern_of_the_common_table_is_known_in_its_short_and_long_form() -> None:
    meter = Meter()
    for command in COMMON:
        plain = command.pattern.replace("[", "").replace("]", "").removesuffix("?")
        short = "".join(mark for mark in plain if not mark.islower())
        for form in (plain, short):
            meter.query("*CLS")
            meter.query(form + ("?" if command.query else " 0" if command.parameters else ""))
            assert not meter.query("SYST:ERR?").startswith("-113"), form


def test_an_ignored_set_leaves_the_queries_beside_it_answered(meter: Meter) -> None:
    (answer,) = meter.acknowledges(b"TRIG:COUN 9;COUN?;SOUR EXT;SOUR?")
    assert answer.octets == b"1;INT\n"
    assert (meter.count, meter.source) == (1, "INT")
    assert meter.acknowledges(b"TRIG:COUN 9") == []
    assert meter.query("SYST:ERR?") == '0,"No error"'


def test_what_changes_nothing_is_told_from_what_does(meter: Meter) -> None:
    assert not meter.changes(b"*IDN?;:CORR:WAV? MAX")
    assert not meter.changes(b"\xff")
    assert meter.changes(b"*IDN?;*CLS")
    assert meter.changes(b"DISP:TEXT '?'")
    assert math.isclose(meter.wavelength_m, 1550e-9)
