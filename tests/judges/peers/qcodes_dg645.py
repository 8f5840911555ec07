"""The DG645 driver of qcodes-contrib-drivers over pyvisa-py. Prints JSON. Argument: VISA resource name.

Its constructor uses a name `k` that it never defines (release 0.24.1), so it is defined here; it goes into a
label only.
"""

import contextlib
import importlib
import json
import logging
import sys

logging.disable(logging.CRITICAL)
drivers = importlib.import_module("qcodes_contrib_drivers.drivers.StanfordResearchSystems.DG645")
vars(drivers)["k"] = ""
with contextlib.redirect_stdout(sys.stderr):  # it says that it is connected
    pulses = drivers.DG645("pulses", sys.argv[1], visalib="@py")
seen: dict[str, object] = {"identity": pulses.get_idn()}
pulses.trigger_rate(2500.5)
pulses.delay_B("A,+0.000001500000")
pulses.channel_link_C("B")
pulses.amp_out_AB(3.3)
pulses.offset_out_CD(-1.5)
pulses.polarity_out_EF(0)
pulses.prescale_GH(7)
pulses.phase_GH(3)
pulses.trig_holdoff(1e-6)
pulses.trigger_level(1.25)
pulses.burst_count(12)
pulses.burst_delay(2e-6)
pulses.burst_T0_config(1)
pulses.trigger_source("single")
pulses.trigger()
names = [
    "trigger_rate",
    "delay_B",
    "channel_link_C",
    "amp_out_AB",
    "offset_out_CD",
    "polarity_out_EF",
    "prescale_GH",
    "phase_GH",
    "trig_holdoff",
    "trigger_level",
    "burst_count",
    "burst_delay",
    "burst_T0_config",
    "trigger_source",
]
seen["read"] = {name: pulses.parameters[name].get() for name in names}
seen["errors"] = pulses.ask("LERR?")
pulses.reset()
seen["after_reset"] = pulses.trigger_rate.get()
pulses.close()
json.dump(seen, sys.stdout)
