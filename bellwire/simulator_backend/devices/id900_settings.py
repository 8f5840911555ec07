"""Settings of an emulated ID Quantique Time Controller: patterns, kinds, defaults, units, licences.

Owns the table of what can be set and asked. Refuses to know what a setting does: id900_signals.py and
id900_emulator.py. Both spellings of links are taken (HIST1:REF:LINK and the older HIST1:INPOrt:REF:LINK).
Coupling, shaping and the edges of windows are remembered without effect; second inputs of combiners, and what
they would pass, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bellwire.simulator_backend.devices.scpi_errors import ScpiError
from bellwire.simulator_backend.devices.scpi_parameters import (
    Boolean,
    Number,
    Parameter,
    Value,
    Whole,
    is_word,
)
from bellwire.simulator_backend.devices.scpi_syntax import Element, NumberElement, WordElement
from bellwire.simulator_backend.devices.scpi_tree import Command

FOUR, EIGHT, COMBINERS = (1, 4), (1, 8), (1, 32)
LICENCES: Mapping[str, frozenset[str]] = {
    "MASTER": frozenset({"combiners"}),
    "MASTER-HR": frozenset({"combiners", "hires"}),
    "TCSPC-HR": frozenset({"hires"}),
}
"""What each licence knows; our reading of their names, confirmed by nobody."""

_BLOCKS = {"INPU": 4, "DELA": 8, "TSCO": 32, "GEN": 8, "HIST": 4, "RAW": 4}
_BLOCK = re.compile(r"(INPUT|INPU|DELAY|DELA|TSCO|GEN|TSGE)(\d{1,2})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words(Parameter):
    """One of some words as in manuals; the value is the long form, as this instrument says it back."""

    words: tuple[str, ...]

    def value(self, element: Element, device: object) -> str:
        if isinstance(element, WordElement):
            for word in self.words:
                if is_word(element.word, word):
                    return word.upper()
        raise ScpiError(-224, "not one of " + ", ".join(self.words))


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Parameter):
    """A block whose events are listened to, or NONE; the value is in short form."""

    def value(self, element: Element, device: object) -> str:
        if not isinstance(element, WordElement):
            raise ScpiError(-104, "a block or NONE is wanted")
        word = element.word.upper()
        if word in {"NONE", "STAR", "START", "REC"}:
            return "STAR" if word == "START" else word
        found = _BLOCK.fullmatch(word)
        name = None if found is None else found[1].replace("INPUT", "INPU").replace("DELAY", "DELA")
        if found is None or name not in _BLOCKS or not 1 <= int(found[2]) <= _BLOCKS[name]:
            raise NoConnection(word)
        return f"{name}{int(found[2])}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeOrInfinite(Whole):
    """A count, or INF, which is -1 inside."""

    def value(self, element: Element, device: object) -> int:
        if isinstance(element, WordElement) and is_word(element.word, "INFinite"):
            return -1
        if isinstance(element, NumberElement):
            return Whole.value(self, element, device)
        raise ScpiError(-104, "a count or INF is wanted")


class NoConnection(ScpiError):
    """A link to a block that does not exist."""

    def __init__(self, word: str) -> None:
        super().__init__(-224, word)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `pattern` with its # in `suffixes`; a reply ends with `unit`. `licence`: the feature
    that must be licensed.
    """

    key: str
    pattern: str
    parameter: Parameter
    default: Value
    suffixes: tuple[tuple[int, int], ...] = ()
    unit: str = ""
    licence: str = ""

    def commands(self) -> tuple[Command, Command]:
        """The order, whose value may be left out (then it is the default), and the query."""
        order = Command(self.pattern, self.key, (self.parameter,), self.suffixes)
        return order, Command(f"{self.pattern}?", self.key, (), self.suffixes)


def _time(low_ps: float = 0, high_ps: float = 1e15) -> Whole:
    return Whole(optional=True, unit="TB", minimum=low_ps, maximum=high_ps)


_ON = Boolean(optional=True)
_LINK = Link(optional=True)
_EDGE = Words(optional=True, words=("RISIng", "FALLing"))
_VOLTS = Number(optional=True, unit="V", minimum=-2.0, maximum=2.0)
_MODE = Words(optional=True, words=("CYCLe", "ACCUm"))
_MILLISECONDS = Whole(optional=True, minimum=1, maximum=65_535)
_COUPLING = Words(optional=True, words=("AC", "DC"))
_SELECT = Words(optional=True, words=("UNSHaped", "SHAPed", "LOOP", "OUTPut"))
_ARM = Words(optional=True, words=("MANUal", "AUTO"))


def _input(key: str, pattern: str, suffixes: tuple[tuple[int, int], ...]) -> tuple[Setting, ...]:
    return (
        Setting(f"{key}.enabled", f"{pattern}:ENABle", _ON, True, suffixes),
        Setting(f"{key}.coupling", f"{pattern}:COUPling", _COUPLING, "DC", suffixes),
        Setting(f"{key}.edge", f"{pattern}:EDGE", _EDGE, "RISING", suffixes),
        Setting(f"{key}.threshold", f"{pattern}:THREshold", _VOLTS, 1.0, suffixes, "V"),
        Setting(f"{key}.select", f"{pattern}:SELEct", _SELECT, "UNSHAPED", suffixes),
        Setting(f"{key}.counter_mode", f"{pattern}:COUNter:MODE", _MODE, "CYCLE", suffixes),
        Setting(f"{key}.integration", f"{pattern}:COUNter:INTEgrationtime", _MILLISECONDS, 1000, suffixes),
    )


def _combiner(key: str, pattern: str, parameter: Parameter, default: Value, unit: str = "") -> Setting:
    return Setting(f"TSCO.{key}", f"TSCO#:{pattern}", parameter, default, (COMBINERS,), unit, "combiners")


_PASSED = Words(optional=True, words=("ONLYFIR", "MUTE"))
_NOTHING = Words(optional=True, words=("NONE",))

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "resolution",
        "DEVIce:RESolution",
        Words(optional=True, words=("HIRES", "LOWRES")),
        "HIRES",
        licence="hires",
    ),
    Setting("leds", "DEVIce:LEDS", _ON, True),
    *_input("INPU", "INPUt#", (FOUR,)),
    *_input("STAR", "STARt", ()),
    Setting("DELA.value", "DELAy#:VALUe", _time(0, 1e12), 0, (EIGHT,), "TB"),
    Setting("DELA.link", "DELAy#[:INPOrt]:LINK", _LINK, "NONE", (EIGHT,)),
    _combiner("window", "WINDow:ENABle", _ON, False),
    _combiner("begin_link", "WINDow:BEGIn:LINK", _LINK, "NONE"),
    _combiner("begin_delay", "WINDow:BEGIn:DELAy", _time(), 0, "TB"),
    _combiner("begin_edge", "WINDow:BEGIn:EDGE", _EDGE, "RISING"),
    _combiner("end_link", "WINDow:END:LINK", _LINK, "NONE"),
    _combiner("end_delay", "WINDow:END:DELAy", _time(), 0, "TB"),
    _combiner("end_edge", "WINDow:END:EDGE", _EDGE, "RISING"),
    _combiner("first", "FIRst:LINK", _LINK, "NONE"),
    _combiner("second", "SECond:LINK", _NOTHING, "NONE"),
    _combiner("inside", "OPIN", _PASSED, "ONLYFIR"),
    _combiner("outside", "OPOUt", _PASSED, "ONLYFIR"),
    _combiner("counter_mode", "COUNter:MODE", _MODE, "CYCLE"),
    _combiner("integration", "COUNter:INTEgrationtime", _MILLISECONDS, 1000),
    Setting("HIST.reference", "HISTogram#[:INPOrt]:REF:LINK", _LINK, "NONE", (FOUR,)),
    Setting("HIST.stop", "HISTogram#[:INPOrt]:STOP:LINK", _LINK, "NONE", (FOUR,)),
    Setting("HIST.enable", "HISTogram#[:INPOrt]:ENABle:LINK", _LINK, "REC", (FOUR,)),
    Setting("HIST.minimum", "HISTogram#:MINimum", _time(), 0, (FOUR,), "TB"),
    Setting("HIST.bin_width", "HISTogram#:BWIDth", _time(1, 1e9), 100, (FOUR,), "TB"),
    Setting(
        "HIST.bins", "HISTogram#:BCOUnt", Whole(optional=True, minimum=1, maximum=16_383), 16_383, (FOUR,)
    ),
    Setting("RAW.reference", "RAW#[:INPOrt]:REF:LINK", _LINK, "NONE", (FOUR,)),
    Setting("RAW.stop", "RAW#[:INPOrt]:STOP:LINK", _LINK, "NONE", (FOUR,)),
    Setting("RAW.send", "RAW#:SEND", _ON, False, (FOUR,)),
    Setting("REC.enabled", "RECord:ENABle", _ON, False),
    Setting("REC.arm", "RECord:TRIGger:ARM:MODE", _ARM, "MANUAL"),
    Setting("REC.number", "RECord:NUMber", WholeOrInfinite(optional=True, minimum=1, maximum=1e9), 1),
    Setting("REC.duration", "RECord:DURation", _time(1), 1_000_000_000_000, (), "TB"),
    Setting("REC.width", "RECord:PWIDth", _time(1), 1_000_000_000_000, (), "TB"),
    Setting("REC.period", "RECord:PPERiod", _time(1), 1_000_000_040_000, (), "TB"),
    Setting("GEN.enabled", "GENerator#:ENABle", _ON, False, (EIGHT,)),
    Setting("GEN.period", "GENerator#:PPERiod", _time(1000), 1_000_000, (EIGHT,), "TB"),
    Setting("GEN.width", "GENerator#:PWIDth", _time(0), 4_000, (EIGHT,), "TB"),
    Setting(
        "GEN.number",
        "GENerator#:PNUMber",
        WholeOrInfinite(optional=True, minimum=1, maximum=1e9),
        -1,
        (EIGHT,),
    ),
    Setting("GEN.arm", "GENerator#:TRIGger:ARM:MODE", _ARM, "MANUAL", (EIGHT,)),
)

ACTIONS: tuple[tuple[Command, str], ...] = (
    (Command("*IDN?", "identify"), ""),
    (Command("DEVIce:RESolution:BWIDth?", "bin_width"), ""),
    (Command("DEVIce:CONFIguration:LOAD", "load", (Words(words=("INIT", "HISTO", "COUNT", "BLANK")),)), ""),
    (Command("DEVIce:SAMPling:RECAlibrate", "recalibrate"), "hires"),
    (Command("INPUt#:COUNter?", "input_count", (), (FOUR,)), ""),
    (Command("INPUt#:COUNter:RESEt", "input_reset", (), (FOUR,)), ""),
    (Command("INPUt#:HIREs:ERROr?", "input_error", (), (FOUR,)), "hires"),
    (Command("INPUt#:HIREs:ERROr:CLEAr", "clear_input_error", (), (FOUR,)), "hires"),
    (Command("STARt:COUNter?", "start_count"), ""),
    (Command("STARt:COUNter:RESEt", "start_reset"), ""),
    (Command("STARt:HIREs:ERROr?", "start_error"), "hires"),
    (Command("STARt:HIREs:ERROr:CLEAr", "clear_start_error"), "hires"),
    (Command("TSCO#:COUNter?", "combiner_count", (), (COMBINERS,)), "combiners"),
    (Command("TSCO#:COUNter:RESEt", "combiner_reset", (), (COMBINERS,)), "combiners"),
    (Command("HISTogram#:FLUSh", "flush", (), (FOUR,)), ""),
    (Command("HISTogram#:DATA?", "histogram", (), (FOUR,)), ""),
    (Command("RAW#:ERRORS?", "raw_errors", (), (FOUR,)), ""),
    (Command("RAW#:ERRORS:CLEAR", "clear_raw_errors", (), (FOUR,)), ""),
    (Command("RECord:PLAY", "play"), ""),
    (Command("RECord:STOP", "stop"), ""),
    (Command("RECord:STAGe?", "stage"), ""),
    (Command("GENerator#:PLAY", "generator_play", (), (EIGHT,)), ""),
    (Command("GENerator#:STOP", "generator_stop", (), (EIGHT,)), ""),
)
"""Commands that are no settings: method of the dialect, and the feature that must be licensed."""
