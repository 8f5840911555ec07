"""The 32-bit words of draft-dahlberg-ll-quantum-03: values computed by hand, round trips, refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.core.ids import End
from bellwire.core.link_words import BasisChoice, LinkCreate, LinkOkKeep, LinkOkMeasure
from bellwire.link_layer.draft_words import (
    BASIS_CODES,
    ERROR_CODES,
    AckWords,
    Answer,
    ErrWords,
    OkKeepWords,
    OkMeasureWords,
    answer_from_words,
    answer_to_words,
    create_from_words,
    create_to_words,
    keep_words,
    measure_words,
)

NUMBERS = {"bob": 0xC0A80102}
NODES = {number: name for name, number in NUMBERS.items()}


def asked(**fields: object) -> LinkCreate:
    given_fields: dict[str, object] = {"create": 7, "partner": "bob", "count": 1, **fields}
    return LinkCreate(**given_fields)  # type: ignore[arg-type]  # fields by name, from tests


def test_a_create_has_the_bits_that_were_worked_out_by_hand() -> None:
    word = asked(
        purpose=0x1234,
        kind="measure",
        count=0x0102,
        fidelity_min=0x8000 / 0xFFFF,
        within_ns=3_000_000_000,  # 3 s are 3000 ms, the finest unit of which 14 bits hold enough: 01
        priority=5,
        atomic=True,
        consecutive=False,
        local=BasisChoice(random="XZ", first=0x40),
        remote=BasisChoice(random="XYZ", first=0x50, second=0x60),
    )
    assert create_to_words(word, NUMBERS).hex(" ", 4) == " ".join(
        (
            "c0a80102",
            f"{0x8000 << 16 | 0b01 << 14 | 3000:08x}",
            "12340102",
            # 101 1 1 0 01 10 000000 01000000 00000000
            f"{0b101_1_1_0_01_10_000000_01000000_00000000:08x}",
            "50600000",
            "00000000",
        )
    )


def test_rotations_stand_in_the_last_two_words_in_the_order_of_the_draft() -> None:
    word = asked(
        kind="measure", local=BasisChoice(rotation=(1, 2, 3)), remote=BasisChoice(rotation=(4, 5, 6))
    )
    assert create_to_words(word, NUMBERS)[16:].hex() == "ff00" + "0102" + "03040506"


def test_answers_have_the_bits_that_were_worked_out_by_hand() -> None:
    assert answer_to_words(AckWords(0xABCD)).hex() == "1abcd000"
    keep = OkKeepWords(0x0001, 0xF, True, 0x0203, 0x0405, 0x06070809, 0xFFFF, 0x1000)
    # 0010 0000000000000001 1111 1 0000000
    assert answer_to_words(keep).hex() == "20001f80" + "02030405" + "06070809" + "ffff1000"
    measure = OkMeasureWords(0x0001, 1, False, "Z-45", 1, 2, 3, 4)
    # 0011 0000000000000001 1 0 100 0000000
    assert answer_to_words(measure).hex() == "30001a00" + "00010002" + "00000003" + "00040000"
    expired = ErrWords(0x0001, "EXPIRE", True, 5, 9, 0x11)
    # 0100 0000000000000001 0101 1 0000000
    assert answer_to_words(expired).hex() == "40001580" + "00050009" + "00000011"


sixteen = st.integers(0, 0xFFFF)
eight = st.integers(0, 0xFF)
node = st.integers(0, 0xFFFFFFFF)
choice = st.builds(
    BasisChoice,
    random=st.sampled_from(["none", "XZ", "XYZ", "CHSH"]),
    first=eight,
    second=eight,
    rotation=st.tuples(eight, eight, eight),
)
times = st.one_of(
    st.none(),
    st.integers(1, 16_383).map(lambda time: time * 1_000),
    st.integers(1, 16_383).map(lambda time: time * 1_000_000),
    st.integers(1, 16_383).map(lambda time: time * 1_000_000_000),
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.builds(
        LinkCreate,
        create=sixteen,
        partner=st.just("bob"),
        purpose=sixteen,
        kind=st.sampled_from(["keep", "measure"]),
        count=sixteen,
        fidelity_min=st.one_of(st.none(), st.integers(1, 0xFFFF).map(lambda steps: steps / 0xFFFF)),
        within_ns=times,
        priority=st.integers(0, 7),
        atomic=st.booleans(),
        consecutive=st.booleans(),
        local=choice,
        remote=choice,
    )
)
def test_a_create_that_fits_comes_back_as_it_was(word: LinkCreate) -> None:
    packed = create_to_words(word, NUMBERS)
    assert len(packed) == 24
    assert create_from_words(packed, NODES, word.create) == word


answers = st.one_of(
    st.builds(AckWords, sixteen),
    st.builds(
        OkKeepWords, sixteen, st.integers(0, 15), st.booleans(), sixteen, sixteen, node, sixteen, sixteen
    ),
    st.builds(
        OkMeasureWords,
        sixteen,
        st.integers(0, 1),
        st.booleans(),
        st.sampled_from(sorted(BASIS_CODES)),
        sixteen,
        sixteen,
        node,
        sixteen,
    ),
    st.builds(ErrWords, sixteen, st.sampled_from(sorted(ERROR_CODES)), st.booleans(), sixteen, sixteen, node),
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(answers)
def test_an_answer_that_fits_comes_back_as_it_was(answer: Answer) -> None:
    assert answer_from_words(answer_to_words(answer)) == answer


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.binary(max_size=28))
def test_bytes_are_read_to_the_last_bit_or_refused(packed: bytes) -> None:
    try:
        answer = answer_from_words(packed)
    except PeerViolation:
        return
    assert answer_to_words(answer) == packed


def test_a_fidelity_between_two_steps_asks_for_the_higher_one() -> None:
    word = create_from_words(create_to_words(asked(fidelity_min=0.9), NUMBERS), NODES, 7)
    assert word.fidelity_min is not None
    assert 0.9 <= word.fidelity_min < 0.9 + 1 / 0xFFFF


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"count": None, "rate_hz": 3.0}, "rate 3.0 Hz"),
        ({"count": 65_536}, "number 65536 does not fit into 16 bits"),
        ({"weight": 2}, "weight 2"),
        ({"hold_ns": 5}, "hold 5 ns"),
        ({"within_ns": 1_500}, "1500 ns are not"),
        ({"within_ns": 0}, "0 ns are not"),
        ({"within_ns": 16_384_000_000_000}, "16384000000000 ns are not"),
        ({"priority": 8}, "priority 8 does not fit into 3 bits"),
        ({"purpose": -1}, "purpose -1 does not fit"),
        ({"fidelity_min": 1.1}, "minimum fidelity 72089 does not fit"),
        ({"partner": "carol"}, "carol has no number"),
        ({"local": BasisChoice(first=256)}, "first weight here 256"),
    ],
)
def test_a_create_that_does_not_fit_is_refused_by_name(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(LocalMisuse, match=complaint):
        create_to_words(asked(**fields), NUMBERS)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (AckWords(65_536), "create id 65536"),
        (OkKeepWords(1, 16, True, 1, 1, 1, 1, 1), "logical qubit 16 does not fit into 4 bits"),
        (OkMeasureWords(1, 2, True, "X", 1, 1, 1, 1), "outcome 2"),
        (ErrWords(1, "NOTIME", False, 0, 0, 1), "no code for NOTIME"),
        (ErrWords(1, "NORES", False, 0, 0, 1), "no code for NORES"),
        (ErrWords(1, "OTHER", False, 0, 65_536, 1), "high sequence 65536"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_by_name(answer: Answer, complaint: str) -> None:
    with pytest.raises(LocalMisuse, match=complaint):
        answer_to_words(answer)


@pytest.mark.parametrize(
    ("packed", "complaint"),
    [
        ("", "type 0"),
        ("f0000000", "type 15"),
        ("1abcd001", "unused bits"),
        ("1abcd000" + "00000000", "8 bytes"),
        (f"{0b0011_0000000000000000_0_0_101_0000000:08x}" + "0" * 24, "basis code 5"),
        ("40000700" + "0" * 16, "code 7"),
    ],
)
def test_words_that_no_honest_user_writes_are_refused(packed: str, complaint: str) -> None:
    with pytest.raises(PeerViolation, match=complaint):
        answer_from_words(bytes.fromhex(packed))


@pytest.mark.parametrize("change", ["unit", "reserved", "node", "length"])
def test_a_create_that_no_honest_user_writes_is_refused(change: str) -> None:
    packed = bytearray(create_to_words(asked(), NUMBERS))
    if change == "unit":
        packed[6] |= 0b1100_0000
    elif change == "reserved":
        packed[13] |= 1
    elif change == "node":
        packed[0] ^= 1
    else:
        packed += b"\0"
    with pytest.raises(PeerViolation):
        create_from_words(bytes(packed), NODES, 7)


def test_what_a_user_was_told_is_written_with_the_fidelity_rounded_down() -> None:
    end = End("a-b", 1, 2, 0, 0)
    told = LinkOkKeep(
        link="a-b",
        origin="bob",
        create=3,
        asked_here=False,
        end=end,
        sequence=4,
        slot=2,
        frame=2,
        purpose=9,
        remote="bob",
        goodness=0.5,
        goodness_at_ns=0,
        born_ns=70_000_000_000,  # 70 000 ms are 4464 modulo 65 536
    )
    assert keep_words(told, 5) == OkKeepWords(3, 2, True, 4, 9, 5, 32_767, 4_464)
    measured = LinkOkMeasure(
        link="a-b",
        origin="alice",
        create=3,
        asked_here=True,
        end=end,
        sequence=4,
        basis="Z+45",
        bit=1,
        frame=3,
        purpose=9,
        remote="bob",
        goodness=1.0,
        goodness_at_ns=0,
        born_ns=0,
    )
    assert measure_words(measured, 5) == OkMeasureWords(3, 1, False, "Z+45", 4, 9, 5, 65_535)
