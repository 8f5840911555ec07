"""A tree of commands from patterns as they stand in manuals: `[SENSe]:POWer:RANGe#[:UPPer]?`.

Owns patterns and their look-up: short and long forms, optional nodes, numeric suffixes, and which patterns
would be the same command. Refuses to know what a command does: it holds the name of the device's method.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.scpi_errors import ScpiError
from bellwire.simulator_backend.devices.scpi_parameters import Number, Parameter, word_forms

_TOKEN = re.compile(r"\[|\]|:|(\*?[A-Za-z]\w*)(#)?")
_NUMBERED = re.compile(r"([A-Za-z_]\w*?)(\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Command:
    """A pattern and the method that carries it out: `method(*suffixes, *parameters)`.

    A pattern that ends with ? is a query, whose method returns the response. `suffixes` gives the range of
    each #, in order; one that was not sent is 1. A query with `limits` answers MIN, MAX and DEF from that
    number.
    """

    pattern: str
    method: str
    parameters: tuple[Parameter, ...] = ()
    suffixes: tuple[tuple[int, int], ...] = ()
    limits: Number | None = None

    @property
    def query(self) -> bool:
        """Whether it is a query."""
        return self.pattern.endswith("?")

    def __post_init__(self) -> None:
        required_after = [parameter.optional for parameter in self.parameters]
        if required_after != sorted(required_after):
            raise LocalMisuse(f"{self.pattern}: a parameter that is required follows an optional one")
        if self.pattern.count("#") != len(self.suffixes):
            raise LocalMisuse(
                f"{self.pattern} has {self.pattern.count('#')} #, and {len(self.suffixes)} ranges"
            )
        if self.limits is not None and (self.parameters or not self.query):
            raise LocalMisuse(f"{self.pattern}: only a query without parameters can answer limits")


@dataclass(frozen=True, slots=True)
class _Mnemonic:
    word: str
    numbered: bool
    place: int
    """Which # of the pattern it carries."""


@dataclass(slots=True)
class _Node:
    children: dict[tuple[str, bool], _Node] = field(default_factory=dict[tuple[str, bool], "_Node"])
    words: dict[tuple[str, bool], str] = field(default_factory=dict[tuple[str, bool], str])
    commands: dict[bool, tuple[Command, tuple[int, ...]]] = field(
        default_factory=dict[bool, tuple[Command, tuple[int, ...]]]
    )


class CommandTree:
    """All commands of a device. Raises LocalMisuse when two of them would be the same."""

    def __init__(self, commands: Iterable[Command]) -> None:
        self._root = _Node()
        for command in commands:
            for variant in _variants(command.pattern.removesuffix("?")):
                self._insert(variant, command)

    def _insert(self, variant: Sequence[_Mnemonic], command: Command) -> None:
        node = self._root
        for mnemonic in variant:
            short, long = word_forms(mnemonic.word)
            keys = [(short, mnemonic.numbered), (long, mnemonic.numbered)]
            for key in keys:
                if node.words.setdefault(key, mnemonic.word) != mnemonic.word:
                    raise LocalMisuse(f"{mnemonic.word} and {node.words[key]} are both {key[0]}")
            child = node.children.get(keys[0]) or _Node()
            node.children.update(dict.fromkeys(keys, child))
            node = child
        places = tuple(mnemonic.place for mnemonic in variant if mnemonic.numbered)
        before = node.commands.setdefault(command.query, (command, places))[0]
        if before is not command:
            raise LocalMisuse(f"{command.pattern} and {before.pattern} are the same command")

    def find(self, mnemonics: Sequence[str], query: bool) -> tuple[Command, tuple[int, ...]]:
        """The command of a header and its numeric suffixes. Raises ScpiError -113 and -114."""
        node = self._root
        numbers: list[int] = []
        for mnemonic in mnemonics:
            child = self._step(node, mnemonic.upper(), numbers)
            if child is None:
                raise _undefined(mnemonics, query)
            node = child
        found = node.commands.get(query)
        if found is None:
            raise _undefined(mnemonics, query)
        command, places = found
        suffixes = [1] * len(command.suffixes)
        for place, number in zip(places, numbers, strict=True):
            suffixes[place] = number
        for (first, last), suffix in zip(command.suffixes, suffixes, strict=True):
            if not first <= suffix <= last:
                raise ScpiError(-114, f"{suffix} is not in {first}..{last}")
        return command, tuple(suffixes)

    @staticmethod
    def _step(node: _Node, mnemonic: str, numbers: list[int]) -> _Node | None:
        plain = node.children.get((mnemonic, False))
        if plain is not None:
            return plain
        numbered = _NUMBERED.fullmatch(mnemonic)
        word, number = (mnemonic, 1) if numbered is None else (numbered[1], int(numbered[2]))
        child = node.children.get((word, True))
        if child is not None:
            numbers.append(number)
        return child


def _undefined(mnemonics: Sequence[str], query: bool) -> ScpiError:
    return ScpiError(-113, ":".join(mnemonics) + ("?" if query else ""))


def _variants(pattern: str) -> list[list[_Mnemonic]]:
    """Every way to write a pattern, by leaving optional nodes out or not."""
    if _TOKEN.sub("", pattern):
        raise LocalMisuse(f"{pattern!r} is no pattern of a command: {_TOKEN.sub('', pattern)!r} in it")
    tokens = list(_TOKEN.finditer(pattern))
    place = itertools.count()
    variants, rest = _sequence(tokens, place)
    if rest or not all(variants):
        raise LocalMisuse(
            f"{pattern!r} is no pattern of a command: brackets do not match, or all is optional"
        )
    return variants


def _sequence(
    tokens: list[re.Match[str]], place: Iterable[int]
) -> tuple[list[list[_Mnemonic]], list[re.Match[str]]]:
    variants: list[list[_Mnemonic]] = [[]]
    numbers = iter(place)
    while tokens and tokens[0][0] != "]":
        token, tokens = tokens[0], tokens[1:]
        if token[0] == ":":
            continue
        if token[0] == "[":
            inner, tokens = _sequence(tokens, numbers)
            if not tokens:
                raise LocalMisuse("a bracket is not closed")
            tokens = tokens[1:]
            variants = [before + more for before in variants for more in [*inner, []]]
        else:
            numbered = token[2] is not None
            mnemonic = _Mnemonic(token[1], numbered, next(numbers) if numbered else -1)
            variants = [[*before, mnemonic] for before in variants]
    return variants, tokens
