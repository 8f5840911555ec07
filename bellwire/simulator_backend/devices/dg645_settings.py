"""What an emulated DG645 can be set to: defaults, ranges, forms of replies, step sizes (instruments.md 3.1).

Owns the settings that *RST restores and *SAV keeps, as tables, and what survives without power. Numbers are
decimals and whole picoseconds, so that a read-back does not depend on floating point. Defaults as the maker's
own package srsinst.dg645 expects them of a real instrument; step sizes as delivered are not known from
anywhere and are ours. Refuses to know commands that set nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self

T0, T1, A, CHANNELS = 0, 1, 2, 10
OUTPUTS = range(5)
PRESCALERS = range(5)
PHASES = range(1, 5)
DELAY_STEP_PS = 5
DELAY_MAX_S = 2000
PULSE_PS = 10_000
SAVED = range(1, 10)
WHOLE, LEVEL, RATE, TIME = "d", "+.2f", "+.6f", "+.12f"


@dataclass(frozen=True, slots=True)
class Setting:
    """A number: default, limits, form of the reply. `indices`: one for each, as of outputs; None = alone.

    `clamps`: a positive value beyond a limit is put to the limit without an error.
    """

    default: Decimal
    least: Decimal
    most: Decimal
    form: str
    indices: range | None = None
    clamps: bool = False


def _setting(
    default: str, least: str, most: str, form: str, indices: range | None = None, *, clamps: bool = False
) -> Setting:
    return Setting(Decimal(default), Decimal(least), Decimal(most), form, indices, clamps)


SETTINGS: Mapping[str, Setting] = {
    "TSRC": _setting("5", "0", "6", WHOLE),
    "TRAT": _setting("1000", "0.0001", "10000000", RATE, clamps=True),
    "TLVL": _setting("1", "-3.5", "3.5", LEVEL),
    "HOLD": _setting("0", "0", "2000", TIME),
    "INHB": _setting("1", "0", "5", WHOLE),
    "ADVT": _setting("0", "0", "1", WHOLE),
    "BURM": _setting("0", "0", "1", WHOLE),
    "BURC": _setting("5", "1", "2147483647", WHOLE),
    "BURD": _setting("0", "0", "2000", TIME),
    "BURP": _setting("0.0001", "0.0000001", "1999.99999999", TIME),
    "BURT": _setting("0", "0", "1", WHOLE),
    "SHDP": _setting("1", "0", "1", WHOLE),
    "LAMP": _setting("2.5", "0.5", "5", LEVEL, OUTPUTS),
    "LOFF": _setting("0", "-2", "2", LEVEL, OUTPUTS),
    "LPOL": _setting("1", "0", "1", WHOLE, OUTPUTS),
    "PRES": _setting("1", "1", "2147483647", WHOLE, PRESCALERS),
    "PHAS": _setting("0", "0", "2147483646", WHOLE, PHASES),
    "SSTR": _setting("1", "0.000001", "1000000", RATE),
    "SSTL": _setting("0.01", "0.01", "3.5", LEVEL),
    "SSHD": _setting("0.000001", "0.000000000001", "1000", TIME),
    "SSBC": _setting("1", "1", "2147483647", WHOLE),
    "SSBD": _setting("0.000001", "0.000000000005", "2000", TIME),
    "SSBP": _setting("0.000001", "0.00000001", "1999.99999999", TIME),
    "SSLA": _setting("0.1", "0.01", "5", LEVEL, OUTPUTS),
    "SSLO": _setting("0.1", "0.01", "2", LEVEL, OUTPUTS),
    "SSPS": _setting("1", "1", "2147483647", WHOLE, PRESCALERS),
    "SSPH": _setting("1", "1", "2147483646", WHOLE, PHASES),
    "SSDL": _setting("0.000000001", "0.000000000005", "2000", TIME, range(CHANNELS)),
}
STEPS: Mapping[str, tuple[str, str]] = {
    "SPTR": ("TRAT", "SSTR"),
    "SPTL": ("TLVL", "SSTL"),
    "SPHD": ("HOLD", "SSHD"),
    "SPBC": ("BURC", "SSBC"),
    "SPBD": ("BURD", "SSBD"),
    "SPBP": ("BURP", "SSBP"),
    "SPLA": ("LAMP", "SSLA"),
    "SPLO": ("LOFF", "SSLO"),
    "SPPS": ("PRES", "SSPS"),
    "SPPH": ("PHAS", "SSPH"),
    "SPDL": ("DLAY", "SSDL"),
}
"""A command that steps (1 up, 0 down): what it moves, and by which step size."""


@dataclass(slots=True)
class Dg645Settings:
    """All that *RST restores. `delays`: channel -> (reference channel, delay in ps); T0 and T1 cannot be
    moved.

    `numbers`: by name; `numbered`: by name and index. `display`: what the front panel shows, and of which
    channel.
    """

    delays: dict[int, tuple[int, int]] = field(default_factory=lambda: _pulses())
    numbers: dict[str, Decimal] = field(default_factory=lambda: _alone())
    numbered: dict[str, dict[int, Decimal]] = field(default_factory=lambda: _indexed())
    display: tuple[int, int] = (0, T0)

    def copy(self) -> Self:
        """The same, for a memory."""
        numbered = {name: dict(values) for name, values in self.numbered.items()}
        return type(self)(dict(self.delays), dict(self.numbers), numbered, self.display)

    def leads_to(self, channel: int, goal: int) -> bool:
        """Whether a chain of references leads from a channel to another."""
        while channel in self.delays and channel != goal:
            channel = self.delays[channel][0]
        return channel == goal

    def value(self, name: str, index: int | None) -> Decimal:
        """A value; `index` None where there is none."""
        return self.numbers[name] if index is None else self.numbered[name][index]

    def put(self, name: str, index: int | None, value: Decimal) -> bool:
        """Set a value; False, and nothing happens, when it is out of range."""
        setting = SETTINGS[name]
        if not value.is_finite():
            return False
        if setting.clamps and value > 0:
            value = min(max(value, setting.least), setting.most)
        if not setting.least <= value <= setting.most:
            return False
        if index is None:
            self.numbers[name] = value
        else:
            self.numbered[name][index] = value
        return True

    def spoken(self, name: str, index: int | None) -> str:
        """A value as the instrument says it."""
        value, form = self.value(name, index), SETTINGS[name].form
        return str(int(value)) if form == WHOLE else f"{value:{form}}"


@dataclass(slots=True)
class Dg645Memory:
    """What the instrument keeps without power: *SAV locations, *PSC, and the enables if *PSC is 0."""

    saved: dict[int, Dg645Settings] = field(default_factory=dict[int, Dg645Settings])
    clears_enables: bool = True
    enables: tuple[int, int, int] = (0, 0, 0)


def _pulses() -> dict[int, tuple[int, int]]:
    """A, C, E, G at T0; B, D, F, H 10 ns after the channel before them."""
    return {
        channel: (T0, 0) if channel % 2 == 0 else (channel - 1, PULSE_PS) for channel in range(A, CHANNELS)
    }


def _alone() -> dict[str, Decimal]:
    return {name: setting.default for name, setting in SETTINGS.items() if setting.indices is None}


def _indexed() -> dict[str, dict[int, Decimal]]:
    return {
        name: dict.fromkeys(setting.indices, setting.default)
        for name, setting in SETTINGS.items()
        if setting.indices is not None
    }
