"""What people may read and set of a DG645: the table, its ranges and its steps.

Owns the ranges. Order matters: a configuration is asserted from top to bottom, so references come before
delays, and what lets triggers out comes last. Refuses to know commands.
"""

from __future__ import annotations

from bellwire.drivers.parameters import Parameter, for_each

PS_PER_S = 10**12
DELAY_STEP_PS = 5
DELAY_MAX_PS = 2000 * PS_PER_S
AMPLITUDE_MV = (500, 5000)
OFFSET_MV = (-2000, 2000)
LEVEL_STEP_MV = 10
TRIGGER_RATE_HZ = (1e-4, 10e6)
RATE_STEP_HZ = 1e-6
BURST_COUNT = (1, 2**31 - 1)
BURST_PERIOD_NS = (100, 2000 * 10**9 - 10)
BURST_DELAY_PS = (0, DELAY_MAX_PS)
POLARITIES = ("negative", "positive")
LETTERS = tuple("ABCDEFGH")
OUTPUTS = ("T0", "AB", "CD", "EF", "GH")
SOURCES = (
    "internal",
    "external_rising",
    "external_falling",
    "single_external_rising",
    "single_external_falling",
    "single_shot",
    "line",
)

PARAMETERS: tuple[Parameter, ...] = (
    *for_each(
        LETTERS,
        Parameter(
            name="reference",
            meaning="channel after which {} is delayed",
            kind="choice",
            read="read_reference",
            write="set_reference",
            choices=("T0", *LETTERS),
        ),
    ),
    *for_each(
        LETTERS,
        Parameter(
            name="delay_ps",
            meaning="delay of {} after its reference, in steps of 5 ps",
            unit="ps",
            kind="integer",
            read="read_delay_ps",
            write="set_delay_ps",
            low=-DELAY_MAX_PS,
            high=DELAY_MAX_PS,
        ),
    ),
    *for_each(
        OUTPUTS,
        Parameter(
            name="amplitude_mv",
            meaning="amplitude of output {}, in steps of 10 mV",
            unit="mV",
            kind="integer",
            read="read_amplitude_mv",
            write="set_amplitude_mv",
            low=AMPLITUDE_MV[0],
            high=AMPLITUDE_MV[1],
        ),
    ),
    *for_each(
        OUTPUTS,
        Parameter(
            name="offset_mv",
            meaning="offset of output {}, in steps of 10 mV",
            unit="mV",
            kind="integer",
            read="read_offset_mv",
            write="set_offset_mv",
            low=OFFSET_MV[0],
            high=OFFSET_MV[1],
        ),
    ),
    *for_each(
        OUTPUTS,
        Parameter(
            name="polarity",
            meaning="polarity of output {}",
            kind="choice",
            read="read_polarity",
            write="set_polarity",
            choices=POLARITIES,
        ),
    ),
    Parameter(
        name="burst_count",
        meaning="pulses of a burst",
        kind="integer",
        read="read_burst_count",
        write="set_burst_count",
        low=BURST_COUNT[0],
        high=BURST_COUNT[1],
    ),
    Parameter(
        name="burst_period_ns",
        meaning="time from pulse to pulse of a burst",
        unit="ns",
        kind="integer",
        read="read_burst_period_ns",
        write="set_burst_period_ns",
        low=BURST_PERIOD_NS[0],
        high=BURST_PERIOD_NS[1],
    ),
    Parameter(
        name="burst_delay_ps",
        meaning="time from the trigger to the first pulse of a burst",
        unit="ps",
        kind="integer",
        read="read_burst_delay_ps",
        write="set_burst_delay_ps",
        low=BURST_DELAY_PS[0],
        high=BURST_DELAY_PS[1],
    ),
    Parameter(
        name="burst",
        meaning="whether each trigger starts a burst",
        kind="switch",
        read="read_burst",
        write="set_burst",
    ),
    Parameter(
        name="trigger_rate_hz",
        meaning="internal trigger rate",
        unit="Hz",
        read="read_trigger_rate_hz",
        write="set_trigger_rate_hz",
        low=TRIGGER_RATE_HZ[0],
        high=TRIGGER_RATE_HZ[1],
        tolerance=RATE_STEP_HZ,
    ),
    Parameter(
        name="trigger_source",
        meaning="what triggers a cycle; single_shot is nothing but a software trigger",
        kind="choice",
        read="read_trigger_source",
        write="set_trigger_source",
        choices=SOURCES,
        emits=True,
    ),
)
