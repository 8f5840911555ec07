"""Register maps: one description, hash, encodings, table."""

from __future__ import annotations

import re

import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.regmap import load_map, markdown_table, parse_map

HEAD = '[map]\nname = "m"\nidentity = 1\nabi = 1\n'
ENTRY = '[[register]]\nname = "{}"\naddr = {}\nwidth = {}\nmode = "{}"\nmeaning = "x"\n'


@pytest.mark.parametrize("name", ["herald_fpga", "memory_controller"])
def test_a_shipped_map_knows_where_each_word_lies(name: str) -> None:
    register_map = load_map(name)
    for register in register_map:
        for index in range(register.count):
            place = register_map.at(register.address_of(index))
            assert place is not None
            assert (place.register, place.index, place.part) == (register, index, 0)


def test_the_hash_follows_name_address_width_and_mode_but_not_the_prose() -> None:
    base = parse_map(HEAD + ENTRY.format("A", 0, 32, "rw"), "t").hash
    assert parse_map((HEAD + ENTRY.format("A", 0, 32, "rw")).replace('"x"', '"y"'), "t").hash == base
    others = [("B", 0, 32, "rw"), ("A", 1, 32, "rw"), ("A", 0, 31, "rw"), ("A", 0, 32, "ro")]
    hashes = {parse_map(HEAD + ENTRY.format(*other), "t").hash for other in others}
    assert len(hashes | {base}) == 5


def test_overlapping_registers_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="B and A share"):
        parse_map(HEAD + ENTRY.format("A", 0, 64, "ro") + ENTRY.format("B", 1, 32, "ro"), "t")


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="rx"):
        parse_map(HEAD + ENTRY.format("A", 0, 32, "rx"), "t")


def test_signed_values_keep_their_sign_and_their_limits() -> None:
    offset = load_map("herald_fpga")["OFFS"]
    assert offset.decode(offset.encode(-5)) == -5
    with pytest.raises(LocalMisuse):
        offset.encode(1 << 23)


def test_the_table_lists_every_register_once() -> None:
    register_map = load_map("herald_fpga")
    names = re.findall(r"^\| `.*?\| (\w+) \|", markdown_table(register_map), re.MULTILINE)
    assert names == [register.name for register in register_map]
