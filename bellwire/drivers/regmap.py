"""Register maps: one TOML description per device, read by the driver, by the emulator and by the
documentation.

Owns addresses, widths, modes, bit fields, ranges and the hash by which both ends know that they hold the same
map (fpga.md section 4). Refuses to talk to anything: reading and writing is `framed_device.py`.
"""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal, cast, get_args

from bellwire.core.errors import ConfigError, LocalMisuse

Mode = Literal["ro", "rw", "w1p", "w1c", "shadow"]
"""ro read only; rw takes effect at once; w1p a pulse per bit written; w1c cleared by writing 1; shadow after
commit.
"""

ADDRESS_MAX = 0xFFFF
WORD_MASK = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class BitField:
    """Bits `low .. low + width - 1` of a register."""

    low: int
    width: int

    def extract(self, word: int) -> int:
        """The value of this field inside `word`."""
        return (word >> self.low) & ((1 << self.width) - 1)

    def place(self, value: int) -> int:
        """`value` shifted into place. Raises LocalMisuse when it does not fit."""
        if not 0 <= value < 1 << self.width:
            raise LocalMisuse(f"field value {value} does not fit into {self.width} bits")
        return value << self.low


@dataclass(frozen=True, slots=True)
class Register:
    """One register, or `count` equal ones `stride` words apart.

    Widths above 32 bits take two words, low word first.
    """

    name: str
    address: int
    width: int
    mode: Mode
    meaning: str
    signed: bool = False
    count: int = 1
    stride: int = 1
    fields: Mapping[str, BitField] = field(default_factory=dict[str, BitField])

    @property
    def words(self) -> int:
        """Words that one instance occupies: 1 or 2."""
        return 1 if self.width <= 32 else 2

    def address_of(self, index: int = 0) -> int:
        """Word address of instance `index`. Raises LocalMisuse outside 0 .. count - 1."""
        if not 0 <= index < self.count:
            raise LocalMisuse(f"register {self.name} has {self.count} instances, index {index} is outside")
        return self.address + index * self.stride

    def encode(self, value: int) -> tuple[int, ...]:
        """The words that carry `value`. Raises LocalMisuse when the value does not fit the declared width."""
        low, high = (-(1 << (self.width - 1)), 1 << (self.width - 1)) if self.signed else (0, 1 << self.width)
        if not low <= value < high:
            raise LocalMisuse(f"register {self.name} takes {low} .. {high - 1}, not {value}")
        raw = value & ((1 << (32 * self.words)) - 1)
        return tuple((raw >> (32 * k)) & WORD_MASK for k in range(self.words))

    def decode(self, words: tuple[int, ...]) -> int:
        """The value carried by `words` (as many as `self.words`), sign-extended where declared."""
        raw = sum(word << (32 * k) for k, word in enumerate(words)) & ((1 << self.width) - 1)
        if self.signed and raw >> (self.width - 1):
            raw -= 1 << self.width
        return raw


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address points: word `part` of instance `index` of `register`."""

    register: Register
    index: int
    part: int


class RegisterMap:
    """The registers of one kind of device, by name and by address."""

    def __init__(self, name: str, identity: int, abi: int, registers: list[Register]) -> None:
        self.name = name
        self.identity = identity
        self.abi = abi
        self._by_name: dict[str, Register] = {}
        self._by_address: dict[int, Place] = {}
        for register in registers:
            if register.name in self._by_name:
                raise ConfigError(f"register {register.name} is described twice", where=name)
            self._by_name[register.name] = register
            for index in range(register.count):
                for part in range(register.words):
                    address = register.address_of(index) + part
                    taken = self._by_address.get(address)
                    if taken is not None:
                        raise ConfigError(
                            f"{register.name} and {taken.register.name} share {address:#05x}", where=name
                        )
                    if not 0 <= address <= ADDRESS_MAX:
                        raise ConfigError(
                            f"{register.name} lies at {address:#x}, above {ADDRESS_MAX:#x}", where=name
                        )
                    self._by_address[address] = Place(register, index, part)
        self.hash = self._compute_hash()

    def _compute_hash(self) -> int:
        """CRC-32 over (name, address, width, mode) of every instance by address (fpga.md section 4)."""
        crc = 0
        for register in sorted(self._by_name.values(), key=lambda r: r.address):
            for index in range(register.count):
                entry = f"{register.name},{register.address_of(index)},{register.width},{register.mode};"
                crc = zlib.crc32(entry.encode("ascii"), crc)
        return crc

    def __getitem__(self, name: str) -> Register:
        try:
            return self._by_name[name]
        except KeyError:
            raise LocalMisuse(f"map {self.name} has no register {name}") from None

    def __iter__(self) -> Iterator[Register]:
        return iter(sorted(self._by_name.values(), key=lambda r: r.address))

    def at(self, address: int) -> Place | None:
        """What lies at a word address, or None when the address is not used."""
        return self._by_address.get(address)


def parse_map(text: str, origin: str) -> RegisterMap:
    """A map from its TOML text. Raises ConfigError that names the register at fault."""
    tree = tomllib.loads(text)
    registers: list[Register] = []
    for entry in tree["register"]:
        mode = entry["mode"]
        if mode not in get_args(Mode):
            raise ConfigError(
                f"register {entry['name']}: mode {mode!r} is none of {get_args(Mode)}", where=origin
            )
        if not 1 <= int(entry["width"]) <= 64:
            raise ConfigError(
                f"register {entry['name']}: width {entry['width']} is outside 1 .. 64", where=origin
            )
        fields = {
            name: BitField(int(low), int(width)) for name, (low, width) in entry.get("fields", {}).items()
        }
        registers.append(
            Register(
                name=str(entry["name"]),
                address=int(entry["addr"]),
                width=int(entry["width"]),
                mode=cast("Mode", mode),
                meaning=str(entry["meaning"]),
                signed=bool(entry.get("signed", False)),
                count=int(entry.get("count", 1)),
                stride=int(entry.get("stride", 1)),
                fields=fields,
            )
        )
    head = tree["map"]
    return RegisterMap(str(head["name"]), int(head["identity"]), int(head["abi"]), registers)


@cache
def load_map(name: str) -> RegisterMap:
    """The map `name` that ships with bellwire ("herald_fpga" or "memory_controller")."""
    source = resources.files("bellwire.drivers") / "registers" / f"{name}.toml"
    return parse_map(source.read_text(encoding="utf-8"), source.name)


def markdown_table(register_map: RegisterMap) -> str:
    """The map as a Markdown table for the reference manual; word addresses in hexadecimal."""
    lines = [
        f"Map `{register_map.name}`: identity `{register_map.identity:#010x}`, ABI {register_map.abi}, "
        f"hash `{register_map.hash:#010x}`",
        "",
        "| address | name | bits | mode | meaning |",
        "|---|---|---|---|---|",
    ]
    for register in register_map:
        where = f"`{register.address:03x}`"
        if register.count > 1:
            where += f" + {register.stride}k, k < {register.count}"
        bits = f"{'s' if register.signed else ''}{register.width}"
        meaning = register.meaning
        if register.fields:
            names = ", ".join(
                f"{name} [{f.low}]" if f.width == 1 else f"{name} [{f.low + f.width - 1}:{f.low}]"
                for name, f in register.fields.items()
            )
            meaning = f"{meaning} ({names})"
        lines.append(f"| {where} | {register.name} | {bits} | {register.mode} | {meaning} |")
    return "\n".join(lines) + "\n"
