"""InstrumentKit's driver of the Thorlabs TC200 on a serial line: argument 1 is its path; prints JSON."""

import json
import sys

import instruments
import quantities

oven = instruments.thorlabs.TC200.open_serial(sys.argv[1], 115200, timeout=2)
seen = {"name": oven.name(), "temperature_c": float(oven.temperature)}
oven.max_temperature = 80 * quantities.degC
oven.max_power = 12.5 * quantities.W
oven.temperature_set = 48.6 * quantities.degC
oven.pid = [100, 20, 3]
seen["set"] = [float(oven.max_temperature), float(oven.max_power), oven.pid, oven.p, oven.i, oven.d]
seen["cold"] = oven.enable
oven.enable = True
oven.enable = True
seen["enabled"] = oven.enable
oven.enable = False
seen["disabled"] = oven.enable
oven.enable = True
try:
    seen["temperature_set_c"] = float(oven.temperature_set)
except ValueError as problem:
    seen["temperature_set_c"] = str(problem)
json.dump(seen, sys.stdout)
