"""What a WebSQ lets people read and set, for the largest system that the driver knows.

Owns names, units and ranges; the driver narrows the table to the detectors that it finds.
"""

from __future__ import annotations

from bellwire.drivers.parameters import Parameter, for_each

CHANNELS_MAX = 8
BIAS_UA = (0.0, 90.9)
TRIGGER_MV = (-500.0, 500.0)
PERIOD_MS = (10, 60_000)
TOLERANCE = 0.01

WEBSQ_PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="period_ms",
        meaning="measurement period of the counts",
        unit="ms",
        kind="integer",
        read="read_period_ms",
        write="set_period_ms",
        low=PERIOD_MS[0],
        high=PERIOD_MS[1],
    ),
    *for_each(
        range(1, CHANNELS_MAX + 1),
        Parameter(
            name="trigger_mv",
            meaning="trigger level of detector {}",
            unit="mV",
            read="read_trigger_mv",
            write="set_trigger_mv",
            low=TRIGGER_MV[0],
            high=TRIGGER_MV[1],
            tolerance=TOLERANCE,
        ),
    ),
    *for_each(
        range(1, CHANNELS_MAX + 1),
        Parameter(
            name="bias_ua",
            meaning="bias current of detector {}",
            unit="uA",
            read="read_bias_ua",
            write="set_bias_ua",
            low=BIAS_UA[0],
            high=BIAS_UA[1],
            emits=True,
            tolerance=TOLERANCE,
        ),
    ),
    Parameter(
        name="enabled",
        meaning="bias of all detectors",
        kind="switch",
        read="read_enabled",
        write="set_enabled",
        emits=True,
    ),
    *for_each(
        range(1, CHANNELS_MAX + 1),
        Parameter(
            name="rate_hz",
            meaning="counts of detector {} in one period",
            unit="Hz",
            read="read_rate_hz",
        ),
    ),
    *for_each(
        range(1, CHANNELS_MAX + 1),
        Parameter(
            name="bias_voltage_mv",
            meaning="voltage at the bias input of detector {}: high when it has latched",
            unit="mV",
            read="read_bias_voltage_mv",
        ),
    ),
    Parameter(name="error", meaning="what the controller complained of last", kind="text", read="read_error"),
)
