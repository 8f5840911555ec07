"""The page of the heralding FPGA names what the code knows."""

import re
from pathlib import Path

from bellwire.drivers.datagrams import DATAGRAM_BYTES_MAX, MAGIC
from bellwire.drivers.framed_device import READ_WORDS_MAX, WRITE_WORDS_MAX
from bellwire.drivers.frames import HERALD_RECORDS_BYTES, RecordKind
from bellwire.drivers.framing import HEADER, PROTOCOL_VERSION, FrameType, Status, crc16_x25, spoken
from bellwire.drivers.herald_registers import FIXED_IN_RUN
from bellwire.drivers.udp_port import WINDOW_REQUESTS
from bellwire.simulator_backend.devices.endpoint import REPLIES_KEPT
from bellwire.simulator_backend.devices.herald_core import COMMIT_SETUP_TICKS
from bellwire.simulator_backend.devices.udp_line import OWNER_SILENCE_S

PAGE = " ".join((Path(__file__).parent.parent / "docs" / "herald_fpga.md").read_text().split())


def test_every_type_of_message_has_its_number() -> None:
    rows = re.findall(r"\| (\d\d) \| ([A-Z_]+) \|", PAGE)
    assert {name: int(number, 16) for number, name in rows} == {one.name: one.value for one in FrameType}


def test_every_status_has_its_number() -> None:
    assert ", ".join(f"{one.value} {spoken(Status, one)}" for one in Status) in PAGE


def test_every_kind_of_record_has_its_size() -> None:
    rows = re.findall(r"\| (\d) \| (?:decision|first hits|time tag):[^|]*\| (\d+) \|", PAGE)
    sizes = {int(kind): int(size) for kind, size in rows}
    assert sizes == {kind.value: HERALD_RECORDS_BYTES[kind] for kind in RecordKind}


def test_limits_and_check_values_are_those_of_the_code() -> None:
    assert HEADER.size == 6
    assert f"1 to {WRITE_WORDS_MAX} words" in PAGE
    assert f"1 to {READ_WORDS_MAX} words" in PAGE
    assert f'"123456789" gives {crc16_x25(b"123456789"):04X}' in PAGE
    assert f'"{MAGIC.decode()}", version {PROTOCOL_VERSION}' in PAGE
    assert f"At most {DATAGRAM_BYTES_MAX} bytes" in PAGE
    assert f"Up to {WINDOW_REQUESTS} requests" in PAGE
    assert f"silent for {OWNER_SILENCE_S:g} s" in PAGE
    assert f"closer than {COMMIT_SETUP_TICKS} ticks" in PAGE
    assert REPLIES_KEPT == 16  # "its last sixteen replies"
    fixed = PAGE[: PAGE.index("are busy while")].rsplit(". ", 1)[1]
    assert set(re.findall(r"[A-Z_]{4,}", fixed)) == {*FIXED_IN_RUN, "REF_SEL"} - {"TEST_MASK", "TEST_DELAY"}
