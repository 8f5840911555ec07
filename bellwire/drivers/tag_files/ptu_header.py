"""The tagged header of PicoQuant's PTU files: what of it tags need, and one that their readers accept.

Owns the header. Refuses headers that make no sense. (PicoQuant, unified file format: 16 bytes of magic and
version, then entries of 48 bytes: name, index, type, value, and for some types a text behind.)
"""

from __future__ import annotations

import datetime
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files.damage import DamagedTagFile
from bellwire.drivers.tag_files.description import Description
from bellwire.drivers.tag_files.ticks import resolution_of

MAGIC = b"PQTTTR\0\0"
VERSION = b"1.0.00\0\0"
TAG = struct.Struct("<32siI8s")
EMPTY, BOOL, INT, BITS, COLOR = 0xFFFF0008, 0x00000008, 0x10000008, 0x11000008, 0x12000008
FLOAT, TIME, FLOATS, ANSI, WIDE, BLOB = (
    0x20000008,
    0x21000008,
    0x2001FFFF,
    0x4001FFFF,
    0x4002FFFF,
    0xFFFFFFFF,
)
WITH_TEXT = (FLOATS, ANSI, WIDE, BLOB)
TAGS_MAX = 10_000
END = "Header_End"
RECORDS = "TTResult_NumberOfRecords"
RECORD_KIND = "TTResultFormat_TTTRRecType"
RECORD_BITS = "TTResultFormat_BitsPerRecord"
MODE = "Measurement_Mode"
T2_MODE = 2
RESOLUTION = "MeasDesc_GlobalResolution"
OLE_BEGIN = datetime.datetime(1899, 12, 30, tzinfo=datetime.UTC)
DAY_S = 86_400.0

Value = int | float | str | bool | bytes | None


@dataclass(frozen=True, slots=True)
class Header:
    """`values`: by name, of arrays the last. `size_bytes`: where records begin."""

    values: dict[str, Value]
    size_bytes: int

    def number(self, name: str, *, where: str) -> float:
        """A number that must be there. Raises ConfigError."""
        found = self.values.get(name)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise ConfigError(f"its header has no number {name}: not a file of time tags", where=where)
        return found

    def text(self, name: str) -> str | None:
        """A text, if it is there and not empty."""
        found = self.values.get(name)
        return found.strip() or None if isinstance(found, str) else None


def read_header(path: Path) -> Header:
    """The header of a PTU file. Raises DamagedTagFile."""
    values: dict[str, Value] = {}
    at = 0
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if file.read(8) != MAGIC:
            raise DamagedTagFile(path, 0, "it does not begin as a PTU file")
        file.seek(16)
        for _ in range(TAGS_MAX):
            at = file.tell()
            tag = file.read(TAG.size)
            if len(tag) < TAG.size:
                raise DamagedTagFile(path, at, "the file ends within its header")
            raw_name, _, kind, raw = TAG.unpack(tag)
            name = raw_name.split(b"\0")[0].decode("ascii", "replace")
            if name == END:
                return Header(values, file.tell())
            length = struct.unpack("<q", raw)[0] if kind in WITH_TEXT else 0
            if not 0 <= length <= size - file.tell():
                raise DamagedTagFile(path, at, f"{name} in the header has {length} bytes, beyond the end")
            values[name] = _value(kind, raw, file.read(length), path, at)
    raise DamagedTagFile(path, at, f"its header has no {END} within {TAGS_MAX} entries")


def _value(kind: int, raw: bytes, behind: bytes, path: Path, at: int) -> Value:
    match kind:
        case 0x00000008:
            return bool(struct.unpack("<q", raw)[0])
        case 0x10000008 | 0x11000008 | 0x12000008:
            return int(struct.unpack("<q", raw)[0])
        case 0x20000008 | 0x21000008:
            return float(struct.unpack("<d", raw)[0])
        case 0x4001FFFF:
            return behind.split(b"\0")[0].decode("latin-1")
        case 0x4002FFFF:
            return behind.decode("utf-16-le", "replace").split("\0")[0]
        case 0x2001FFFF | 0xFFFFFFFF:
            return behind
        case 0xFFFF0008:
            return None
        case _:
            raise DamagedTagFile(path, at, f"an entry of the header has the unknown type {kind:#010x}")


def described(header: Header, name: str, *, where: str) -> Description:
    """What the header tells of the tags. Raises ConfigError."""
    created = header.values.get("File_CreatingTime")
    created_at = None
    if isinstance(created, float) and 0 < created < 200_000:
        created_at = (OLE_BEGIN + datetime.timedelta(days=created)).isoformat(timespec="seconds")
    return Description(
        format=name,
        resolution_ps=resolution_of(header.number(RESOLUTION, where=where), where=where),
        device=header.text("HW_Type"),
        serial_number=header.text("HW_SerialNo"),
        firmware=header.text("HW_FirmwareVersion") or header.text("HW_Version"),
        software=header.text("CreatorSW_Name"),
        software_version=header.text("CreatorSW_Version"),
        created_at=created_at,
        comment=header.text("File_Comment"),
    )


def write_header(file: BinaryIO, description: Description, kind: int, resolution_ps: Fraction) -> int:
    """A header for T2 records; returns at which byte the number of records stands, which is 0 yet."""
    file.write(MAGIC + VERSION)
    entries: list[tuple[str, int, Value]] = [
        ("File_GUID", ANSI, "{00000000-0000-0000-0000-000000000000}"),
        ("CreatorSW_Name", ANSI, description.software or "bellwire"),
        ("CreatorSW_Version", ANSI, description.software_version or ""),
        ("CreatorSW_ContentVersion", ANSI, "1.0"),
        ("File_Comment", ANSI, description.comment or ""),
        ("Measurement_SubMode", INT, 0),
        (MODE, INT, T2_MODE),
        ("HW_Type", ANSI, description.device or "unknown"),
        ("HW_SerialNo", ANSI, description.serial_number or ""),
        ("HW_FirmwareVersion", ANSI, description.firmware or ""),
        (RECORD_KIND, INT, kind),
        (RECORD_BITS, INT, 32),
        (RESOLUTION, FLOAT, float(resolution_ps) * 1e-12),
        ("MeasDesc_Resolution", FLOAT, float(resolution_ps) * 1e-12),
    ]
    days = _ole_days(description.created_at)
    if days is not None:
        entries.insert(1, ("File_CreatingTime", TIME, days))
    for name, form, value in entries:
        file.write(_entry(name, form, value))
    at = file.tell() + 40
    file.write(_entry(RECORDS, INT, 0))
    file.write(_entry(END, EMPTY, 0))
    return at


def _entry(name: str, kind: int, value: Value) -> bytes:
    behind = b""
    if kind == ANSI:
        behind = str(value).encode("latin-1", "replace") + b"\0"
        behind += b"\0" * (-len(behind) % 8)
        raw = struct.pack("<q", len(behind))
    elif kind in (FLOAT, TIME):
        raw = struct.pack("<d", value)
    else:
        raw = struct.pack("<q", value)
    return TAG.pack(name.encode(), -1, kind, raw) + behind


def _ole_days(created_at: str | None) -> float | None:
    if created_at is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(created_at)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment - OLE_BEGIN).total_seconds() / DAY_S
