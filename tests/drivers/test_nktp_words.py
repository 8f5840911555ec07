"""NKTP telegrams: escapes, checksum, and frames that survive what surrounds them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.drivers.nktp_words import (
    SPECIAL,
    BadTelegram,
    Kind,
    Telegram,
    checksum,
    framed,
    next_frame,
    unframed,
)

octet = st.integers(0, 255)
noise = st.lists(st.sampled_from([0x0D, 0x5E, 0x00, 0x41]), max_size=20).map(bytes)
telegram = st.builds(Telegram, octet, octet, st.sampled_from(Kind), octet, st.binary(max_size=240))


def test_the_checksum_is_crc_16_xmodem() -> None:
    """Check value of the catalogue of parametrised CRC algorithms (R. Cook) for "123456789": 0x31C3."""
    assert checksum(b"123456789") == 0x31C3


@settings(derandomize=True, deadline=None)
@given(telegram)
def test_a_telegram_comes_back_and_has_its_special_bytes_only_at_its_ends(one: Telegram) -> None:
    frame = one.encoded()
    assert Telegram.decoded(frame) == one
    assert not {0x0D, 0x0A} & set(frame[1:-1])


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=64))
def test_escaping_is_undone(plain: bytes) -> None:
    assert unframed(framed(plain)) == plain
    assert len(framed(plain)) == 2 + len(plain) + sum(one in SPECIAL for one in plain)


@settings(derandomize=True, deadline=None)
@given(telegram, st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_between_the_ends_is_never_another_telegram(
    one: Telegram, place: int, change: int
) -> None:
    """A burst of at most 8 bits, which a CRC of 16 bits always finds, unless it breaks an escape."""
    frame = bytearray(one.encoded())
    frame[1 + place % (len(frame) - 2)] ^= change
    try:
        found = Telegram.decoded(bytes(frame))
    except BadTelegram:
        return
    assert found == one or len(unframed(bytes(frame))) != len(unframed(one.encoded()))


@settings(derandomize=True, deadline=None)
@given(telegram, noise, st.binary(max_size=9))
def test_noise_before_a_frame_is_passed_over(one: Telegram, noise: bytes, after: bytes) -> None:
    assert next_frame(noise + one.encoded() + after) == (one.encoded(), after)
    assert next_frame(b"\x0a" + noise + one.encoded()) == (one.encoded(), b"")


@settings(derandomize=True, deadline=None)
@given(telegram)
def test_a_frame_without_its_end_is_not_one_yet(one: Telegram) -> None:
    assert next_frame(one.encoded()[:-1]) is None


@pytest.mark.parametrize(
    ("power_mw", "escaped"), [(25.66, "06 5e 4a"), (24.14, "6e 09"), (13.10, "1e 05"), (33.74, "2e 5e 4d")]
)
def test_a_power_is_little_endian_and_escaped(power_mw: float, escaped: str) -> None:
    """25.66 mW is 0x0A06, 24.14 mW 0x096E, 13.10 mW 0x051E (instruments.md 6.1); 33.74 mW is 0x0D2E."""
    units = round(power_mw * 100).to_bytes(2, "little")
    frame = Telegram(1, 161, Kind.WRITE, 0x22, units).encoded()
    assert frame[1:5] == bytes((1, 161, 5, 0x22))
    assert frame[5:].startswith(bytes.fromhex(escaped))
    assert Telegram.decoded(frame).data == units


@pytest.mark.parametrize("frame", [b"", b"\r\n", b"\rAB\n", b"\r\x5e\n", b"\r\x5e\x41ABCDEF\n"])
def test_what_is_no_telegram_is_refused(frame: bytes) -> None:
    with pytest.raises(BadTelegram):
        Telegram.decoded(frame)
