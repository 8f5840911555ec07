"""The section `scenario` of a lab file: what goes wrong on purpose, and heralds that come by the calendar.

Owns the keys. Refuses references to other sections (crosscheck.py) and conversion (lab.py).
"""

from typing import Annotated

from pydantic import Field

from bellwire.labs.sections import Count, NotNegative, Probability, Section


class Crash(Section):
    node: str
    at_s: NotNegative
    down_s: NotNegative


class LinkChange(Section):
    """The hidden truth of a link changes; both figures are relative to what it was at the start."""

    link: str
    at_s: NotNegative
    success_factor: NotNegative = 1.0  # of the success probability of an attempt; 0: dark
    noise: Probability = 0.0  # share of white noise in every heralded state


class ScriptedHeralds(Section):
    """Successes of links by the calendar, in emulated and in virtual time: for comparing the two."""

    every_attempts: Count  # a lane succeeds once in so many attempts
    offset_attempts: dict[str, tuple[Annotated[int, Field(ge=0)], ...]]  # link -> first success of each lane


class Scenario(Section):
    """Faults and changes that the virtual host plants, and heralds that come by the calendar."""

    message_loss_probability: Annotated[float, Field(ge=0, lt=1)] = 0.0
    duplicate_probability: Probability = 0.0
    delay_jitter_us: NotNegative = 0.0
    reorder: bool = False
    crashes: tuple[Crash, ...] = ()
    link_changes: tuple[LinkChange, ...] = ()
    persist_latency_us: NotNegative = 0.0
    scripted_heralds: ScriptedHeralds | None = None  # None: chance decides
