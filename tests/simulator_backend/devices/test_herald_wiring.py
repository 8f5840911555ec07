"""What the emulated hardware of each architecture fires, and what each outcome table makes of it."""

from itertools import product

import pytest

from bellwire.core.errors import ConfigError
from bellwire.core.settings import Architecture
from bellwire.drivers.herald_settings import (
    CHANNELS,
    NOMINAL_CLOCK,
    PATTERNS,
    outcome_table,
    settings_for_travel,
)
from bellwire.simulator_backend.devices.herald_fired import FIRED
from bellwire.simulator_backend.devices.herald_golden import (
    Decision,
    GoldenBank,
    GoldenSettings,
    HeraldGolden,
)

ARCHITECTURES: tuple[Architecture, ...] = (
    "double_click",
    "single_click",
    "sender_receiver",
    "midpoint_source",
)


def decided(table: Architecture, channels: tuple[int, ...]) -> int:
    """What a device that was configured for one architecture says when these channels fire together."""
    settings = settings_for_travel(1_000_000, 1, 50_000, architecture=table)
    registers = settings.registers(NOMINAL_CLOCK, CHANNELS, 2)
    golden = HeraldGolden(
        GoldenSettings(
            fine_bits=3,
            offsets=(0,) * CHANNELS,
            dead_ticks=(5,) * CHANNELS,
            enabled=tuple(bool(registers["ENABLE", channel]) for channel in range(CHANNELS)),
            banks=(
                GoldenBank(
                    tuple((registers["WIN_START", w], registers["WIN_LEN", w]) for w in range(2)),
                    settings.outcome_table(CHANNELS, 2),
                ),
            ),
            decide_ticks=registers["DECIDE", 0],
            coincidence=registers["COINC", 0],
        )
    )
    golden.edge(0, 0)
    for channel in channels:
        golden.hit(channel, 50_000 - settings.start_delay_ns)
    golden.advance(10_000)
    (decision,) = golden.results
    assert isinstance(decision, Decision)
    return decision.outcome


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_station_understands_what_its_hardware_fires(architecture: Architecture) -> None:
    fired = FIRED[architecture]
    assert set(fired) == ({1, 2} if architecture in ("double_click", "single_click") else {1})
    for code, patterns in fired.items():
        for pattern in patterns:
            assert decided(architecture, pattern) == code
    # The table takes for a success exactly the patterns that the hardware knows.
    assert {hit for patterns in fired.values() for hit in patterns} == set(PATTERNS[architecture])


@pytest.mark.parametrize(
    ("table", "hardware"), [pair for pair in product(ARCHITECTURES, repeat=2) if pair[0] != pair[1]]
)
def test_the_table_of_another_architecture_never_sees_a_success(
    table: Architecture, hardware: Architecture
) -> None:
    heard = {
        outcome_table(PATTERNS[table])[sum(1 << 2 * channel for channel in pattern)]
        for patterns in FIRED[hardware].values()
        for pattern in patterns
    }
    assert heard == {0}


def test_more_or_fewer_channels_than_a_success_fires_are_none() -> None:
    """Both detectors of a single-click station, or one memory of two, are no herald."""
    assert decided("single_click", (0, 2)) == 0
    assert decided("midpoint_source", (0,)) == decided("midpoint_source", (2,)) == 0
    assert decided("double_click", (0, 1, 2)) == 0


def test_noise_on_a_line_that_leads_nowhere_vetoes_nothing() -> None:
    assert decided("single_click", (0, 1)) == 1
    assert decided("sender_receiver", (0, 3)) == 1
    assert decided("midpoint_source", (0, 2, 3)) == 1


def test_an_analyser_cannot_serve_a_link_without_hardware() -> None:
    with pytest.raises(ConfigError, match="a textbook link says nothing of its hardware"):
        settings_for_travel(1_000_000, 1, 50_000, architecture="textbook")
