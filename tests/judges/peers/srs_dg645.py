"""The maker's own client of the DG645 (srsinst.dg645). Prints JSON. Arguments: port of a raw socket,
commands that shall be refused.
"""

import json
import sys

from srsinst.dg645 import DG645, Keys

CHANNELS = "ABCDEFGH"
OUTPUTS = ("T0", "AB", "CD", "EF", "GH")
pulses = DG645("tcpip", "127.0.0.1", int(sys.argv[1]))
pulses.comm.set_timeout(5)
seen: dict[str, object] = {"identity": pulses.check_id()}


def errors() -> list[int]:
    """What the error queue holds, and nothing after."""
    return pulses.status.drain_errors()


pulses.reset()
pulses.interface.clear_status()
seen["delays"] = {channel: list(pulses.delays.delay[channel]) for channel in CHANNELS}
seen["burst"] = [pulses.burst.burst_mode, pulses.burst.burst_count, pulses.burst.burst_period]
seen["levels"] = [
    [pulses.outputs.amplitude[output], pulses.outputs.offset[output], pulses.outputs.polarity[output]]
    for output in OUTPUTS
]
seen["trigger"] = [
    pulses.trigger.trigger_source,
    pulses.trigger.trigger_rate,
    pulses.trigger.trigger_level,
    pulses.trigger.holdoff,
    pulses.trigger.inhibit,
    pulses.trigger.advanced_trigger,
]
seen["after_reset"] = pulses.status.get_status_text()

pulses.delays.delay["B"]["A"] = 500e-9
pulses.delays.delay["C"]["T0"] = 1e-3
pulses.delays.link["E"] = Keys.DelayChannelDict["C"]
pulses.outputs.amplitude["AB"] = 3.5
pulses.outputs.offset["CD"] = -1.0
pulses.outputs.polarity["EF"] = False
pulses.burst.burst_mode = True
pulses.burst.burst_t0 = Keys.T0OnFirst
pulses.trigger.prescale_factor[1] = 4
pulses.trigger.prescale_phase[1] = 2
pulses.trigger.inhibit = Keys.InhibitABCD
pulses.trigger.trigger_rate_step_size = 250.0
pulses.trigger.step_trigger_rate(1)
pulses.delays.delay_step_size["B"] = 1e-9
pulses.delays.step_delay("B", 0)
seen["set"] = [
    list(pulses.delays.delay["B"]),
    list(pulses.delays.delay["C"]),
    pulses.delays.link["E"],
    pulses.outputs.amplitude["AB"],
    pulses.outputs.offset["CD"],
    pulses.outputs.polarity["EF"],
    pulses.burst.burst_mode,
    pulses.burst.burst_t0,
    pulses.trigger.prescale_factor[1],
    pulses.trigger.prescale_phase[1],
    pulses.trigger.inhibit,
    pulses.trigger.trigger_rate,
]
seen["errors_of_sets"] = errors()

pulses.system.save(1)
pulses.trigger.trigger_rate = 50.0
pulses.system.recall(1)
seen["recalled_hz"] = pulses.trigger.trigger_rate
pulses.display.display["A"] = 11
seen["display"] = list(pulses.display.display)

refused = {}
for command in sys.argv[2:]:
    pulses.send(command)
    refused[command] = errors()
seen["refused"] = refused
pulses.interface.clear_status()
pulses.send("*IDN")
seen["command_error"] = [pulses.status.event_bit[Keys.CME], pulses.status.event_bit[Keys.CME]]
pulses.interface.clear_status()
pulses.interface.set_opc()
seen["complete"] = [pulses.interface.operation_complete, pulses.status.event_status]
pulses.status.serial_poll_enable_bit[Keys.INSB] = True
pulses.status.instrument_status_enable_bit[Keys.TRIG] = True
pulses.trigger.trigger_source = Keys.SingleShot
pulses.trigger_now()
seen["status_byte"] = [pulses.status.serial_poll_bit[key] for key in (Keys.INSB, Keys.MSS, Keys.ESB)]
seen["triggered"] = [pulses.status.instrument_status_bit[Keys.TRIG] for _ in range(2)]
seen["lock"] = [pulses.network.request_lock(), pulses.network.release_lock(), pulses.network.release_lock()]
seen["timebase"] = pulses.network.TimbaseDict[pulses.network.timebase]
seen["errors_left"] = errors()
pulses.disconnect()
json.dump(seen, sys.stdout)
