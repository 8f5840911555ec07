"""Generation modes: what a request may write to say how its pairs are swapped.

Owns the grammar, the names with their options, and the traits that planners must know. Refuses decisions:
policies are made of a mode by the swapping layer, tables by the planner. docs/policies.md says what they do.

    mode    := order [ "if" quantity compare number "else" mode ]       occupancy, age_s, hops; < <= > >=
    order   := sum { ">" sum }                                          the next one decides among equals
    sum     := term { "+" term }                                        weighted ratings
    term    := [ number "*" ] name [ "(" option "=" word { "," ... } ")" ]
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import entry_points
from math import isfinite
from typing import Any, Final

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

ENTRY_POINTS: Final = "bellwire.swap_policies"
"""Group of entry points by which other packages add policies: objects with `traits` and `make(options)`."""

Option = float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a planner must know of a policy, and which options it takes, with their defaults."""

    options: Mapping[str, Option] = field(default_factory=dict[str, Option])
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])  # of own options
    follows_tree: bool = False  # swaps by the default tree alone: another tree is another plan
    needs_table: bool = False  # reads the offline values of the route's segments
    foreign: bool = False  # executed by another part than the swapping policies


CUTS: Final[dict[str, Option]] = {"cutoff": "flat", "cutoff_factor": 2.0, "discard": 12.0}
"""Options of every adaptive policy: `cutoff` none, flat (cutoff_factor T_root) or depth (times 0.5 for each
level of depth); `discard`: an end that waited for so many expected latencies of its partner is given up, 0:
never."""

SCORE: Final[dict[str, Option]] = {
    "form": "D",
    "gain": 1.1,  # weight of what a swap brings
    "alpha": 0.2,  # exponent of the share of life that is left
    "patience": 8.0,  # waiting for so many expected latencies of the partner makes a pair worth nothing
    "occupancy": 0.2,  # weight of memory relief
    "occupancy_power": 4.0,
    "cost_floor": 0.1,  # share of the mean link cost added to every link cost
    "costs": "dual",  # of links: LP duals, or their latency
    "candidates": "all",  # pairs of one segment that are looked at: the youngest, or all
    "opportunity": 1.0,  # form A: beta
    "relief": 0.005,  # form A: gamma
    "off_plan": 0.3,  # form A: rho
}

DATAGRAMS: Final[dict[str, Option]] = {
    "congestion": "none",  # control of the source: none, window or rate
    "window": 0.0,  # datagrams under way at most, 0: memory is the limit
    "loss_is_congestion": "no",  # yes: so does a failed swap; without a control that means a window
    "pairs": "ahead",  # links make pairs ahead of datagrams; or on_demand: no pair waits for a datagram
}
"""Options of connectionless flows; the defaults are the strong form."""

POLICIES: Final[dict[str, Traits]] = {
    "swap_asap": Traits(),
    "fixed_tree": Traits(options={"links": "paced"}, follows_tree=True),
    "oldest": Traits(options=CUTS, needs_table=True),
    "youngest": Traits(options=CUTS, needs_table=True),
    "longest_hop": Traits(options=CUTS, needs_table=True),
    "shortest_hop": Traits(options=CUTS, needs_table=True),
    "score": Traits(options={**CUTS, **SCORE}, needs_table=True),
    "connectionless": Traits(options=DATAGRAMS, foreign=True),
    "virtual_circuit": Traits(foreign=True),
}
"""Policies of this package by name."""

WORDS: Final[dict[str, tuple[str, ...]]] = {
    "cutoff": ("none", "flat", "depth"),
    "links": ("paced", "full"),
    "form": ("A", "B", "B'", "D"),
    "costs": ("dual", "latency"),
    "candidates": ("youngest", "all"),
    "congestion": ("none", "window", "rate"),
    "loss_is_congestion": ("yes", "no"),
    "pairs": ("ahead", "on_demand"),
}
"""Options whose values are words."""

ABOVE_0: Final = frozenset({"cutoff_factor"})
"""Numbers that divide."""

QUANTITIES: Final = ("occupancy", "age_s", "hops")


@dataclass(frozen=True, slots=True)
class Named:
    """One policy with all of its options."""

    name: str
    options: tuple[tuple[str, Option], ...]


@dataclass(frozen=True, slots=True)
class Weighted:
    """A sum of ratings, each in -1..1."""

    parts: tuple[tuple[float, Named], ...]


@dataclass(frozen=True, slots=True)
class Ordered:
    """Lexicographic: the next one decides among candidates that the one before rates alike."""

    parts: tuple["Named | Weighted", ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """One mode while a quantity compares as said, another one else."""

    then: "Mode"
    quantity: str
    compare: str
    value: float
    otherwise: "Mode"


Mode = Named | Weighted | Ordered | Conditional


@lru_cache(maxsize=256)
def parse_mode(text: str) -> Mode:
    """The mode that a text means.

    Raises:
        ConfigError: an unknown name, option or word (the nearest is given), or a text out of the grammar.
    """
    mode = _Reader(text).whole()
    if not isinstance(mode, Named):
        for part in policies_of(mode):
            if traits_of(part.name).foreign:
                raise ConfigError(
                    f'generation mode "{text}": {part.name} is a protocol of its own and combines with '
                    "no policy: ask for it alone"
                )
    return mode


def policies_of(mode: Mode) -> Iterator[Named]:
    """Every policy in a mode, in the order of writing."""
    match mode:
        case Named():
            yield mode
        case Weighted():
            yield from (part for _, part in mode.parts)
        case Ordered():
            for part in mode.parts:
                yield from policies_of(part)
        case Conditional():
            yield from policies_of(mode.then)
            yield from policies_of(mode.otherwise)


def traits_of(name: str) -> Traits:
    """What is known of a policy. Raises ConfigError with the nearest known name."""
    known = POLICIES.get(name)
    if known is not None:
        return known
    added = _added()
    if name not in added:
        raise ConfigError(f'unknown generation mode "{name}"{nearest(name, [*POLICIES, *added])}')
    found: Traits = added[name].traits
    return found


def plugin_of(name: str) -> Any:
    """The object of another package that adds this policy."""
    return _added()[name]


@lru_cache(maxsize=1)
def _added() -> dict[str, Any]:
    return {point.name: point.load() for point in entry_points(group=ENTRY_POINTS)}


@lru_cache(maxsize=256)
def follows_tree(text: str) -> bool:
    """True when another swapping tree would be another plan."""
    return any(traits_of(part.name).follows_tree for part in policies_of(parse_mode(text)))


@lru_cache(maxsize=256)
def needs_table(text: str) -> bool:
    """True when the mode reads the offline values of segments, or changes with the situation."""
    mode = parse_mode(text)
    return isinstance(mode, Conditional) or any(
        traits_of(part.name).needs_table for part in policies_of(mode)
    )


@lru_cache(maxsize=256)
def is_foreign(text: str) -> bool:
    """True when another part than the swapping policies executes the mode."""
    return any(traits_of(part.name).foreign for part in policies_of(parse_mode(text)))


@lru_cache(maxsize=256)
def paces_links(text: str) -> bool:
    """True when links make no more pairs than the tree needs."""
    return any(dict(part.options).get("links") == "paced" for part in policies_of(parse_mode(text)))


def mode_text(mode: Mode) -> str:
    """The shortest text that means this mode: options at their defaults are left out."""
    match mode:
        case Named():
            return _named_text(mode)
        case Weighted():
            return " + ".join(f"{weight!r} * {_named_text(part)}" for weight, part in mode.parts)
        case Ordered():
            return " > ".join(mode_text(part) for part in mode.parts)
        case Conditional():
            test = f"{mode.quantity} {mode.compare} {mode.value!r}"
            return f"{mode_text(mode.then)} if {test} else {mode_text(mode.otherwise)}"


def _named_text(part: Named) -> str:
    defaults = traits_of(part.name).options
    changed = [f"{key}={value}" for key, value in part.options if value != defaults[key]]
    return f"{part.name}({', '.join(changed)})" if changed else part.name


_TOKENS: Final = re.compile(
    r"\s*(<=|>=|[<>+*(),=]|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[A-Za-z_][\w\-.']*)"
)


class _Reader:
    """One pass over the words of a mode."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words: list[str] = []
        at = 0
        stripped = text.rstrip()
        while at < len(stripped):
            found = _TOKENS.match(stripped, at)
            if found is None:
                raise self._wrong(f'"{stripped[at:].strip()[:12]}" cannot be read')
            self._words.append(found[1])
            at = found.end()
        self._at = 0

    def whole(self) -> Mode:
        mode = self._mode()
        if self._at < len(self._words):
            raise self._wrong(f'"{self._words[self._at]}" is one word too many')
        return mode

    def _mode(self) -> Mode:
        then = self._order()
        if not self._took("if"):
            return then
        quantity, compare = self._next(), self._next()
        if quantity not in QUANTITIES:
            raise self._wrong(f'unknown quantity "{quantity}"{nearest(quantity, QUANTITIES)}')
        if compare not in ("<", "<=", ">", ">="):
            raise self._wrong(f'"{compare}" is no comparison, use < <= > or >=')
        value = self._number(self._next())
        if not self._took("else"):
            raise self._wrong("an if needs its else")
        return Conditional(then, quantity, compare, value, self._mode())

    def _order(self) -> Named | Weighted | Ordered:
        parts = [self._sum()]
        while self._took(">"):
            parts.append(self._sum())
        return parts[0] if len(parts) == 1 else Ordered(tuple(parts))

    def _sum(self) -> Named | Weighted:
        parts = [self._term()]
        while self._took("+"):
            parts.append(self._term())
        if len(parts) == 1 and parts[0][0] == 1.0:
            return parts[0][1]
        return Weighted(tuple(parts))

    def _term(self) -> tuple[float, Named]:
        word = self._next()
        weight = 1.0
        if word[0].isdigit() or word[0] == ".":
            weight = self._number(word)
            if not self._took("*"):
                raise self._wrong(f'a weight is written "{word} * name"')
            if weight == 0.0:
                raise self._wrong("a weight must be above 0; leave out what is to have none")
            word = self._next()
        return weight, self._named(word)

    def _named(self, name: str) -> Named:
        try:
            traits = traits_of(name)
        except ConfigError as unknown:
            if name == self._text.strip():
                raise
            raise self._wrong(unknown.problem) from None
        options = dict(traits.options)
        given: set[str] = set()
        if self._took("("):
            while True:
                key = self._next()
                if key not in options:
                    raise self._wrong(f'{name} has no option "{key}"{nearest(key, options)}')
                if key in given:
                    raise self._wrong(f"option {key} is given twice")
                given.add(key)
                if not self._took("="):
                    raise self._wrong(f'option {key} needs "= value"')
                options[key] = self._value(traits, key, self._next())
                if self._took(")"):
                    break
                if not self._took(","):
                    raise self._wrong(f'the options of {name} end with ")"')
        return Named(name, tuple(options.items()))

    def _value(self, traits: Traits, key: str, word: str) -> Option:
        words = traits.words.get(key) or WORDS.get(key)
        if words is None:
            number = self._number(word)
            if number == 0.0 and key in ABOVE_0:
                raise self._wrong(f"{key} must be above 0")
            return number
        if word not in words:
            raise self._wrong(f'{key} is one of {", ".join(words)}, not "{word}"')
        return word

    def _number(self, word: str) -> float:
        try:
            number = float(word)
        except ValueError:
            raise self._wrong(f'"{word}" is not a number') from None
        if not isfinite(number):
            raise self._wrong(f"{word} is not a finite number")
        return number

    def _took(self, word: str) -> bool:
        if self._at < len(self._words) and self._words[self._at] == word:
            self._at += 1
            return True
        return False

    def _next(self) -> str:
        if self._at >= len(self._words):
            raise self._wrong("it ends too early")
        self._at += 1
        return self._words[self._at - 1]

    def _wrong(self, why: str) -> ConfigError:
        return ConfigError(f'generation mode "{self._text}": {why}')
