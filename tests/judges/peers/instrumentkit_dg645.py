"""InstrumentKit's driver of the SRS DG645 on a socket: argument 1 is the port; prints JSON."""

import json
import sys

import instruments
import quantities

generator = instruments.srs.SRSDG645.open_tcpip("127.0.0.1", int(sys.argv[1]))
channel, output = generator.channel, generator.output
seen = {"name": generator.name.strip()}
channel["B"].delay = (channel["A"], 250 * quantities.ns)
channel["A"].delay = (channel["T0"], 1.5 * quantities.us)
for name in ("A", "B"):
    reference, delay = channel[name].delay
    seen[name] = [reference.name, float(delay.rescale("ps"))]
output["AB"].level_amplitude = 2.5 * quantities.V
output["AB"].level_offset = -0.5 * quantities.V
output["AB"].polarity = generator.LevelPolarity.negative
seen["AB"] = [
    float(output["AB"].level_amplitude),
    float(output["AB"].level_offset),
    output["AB"].polarity.name,
]
generator.trigger_source = generator.TriggerSource.internal
generator.trigger_rate = 12.5 * quantities.kHz
generator.enable_adv_triggering = True
generator.holdoff = 2 * quantities.us
seen["trigger"] = [
    generator.trigger_source.name,
    float(generator.trigger_rate.rescale("Hz")),
    generator.enable_adv_triggering,
    float(generator.holdoff.rescale("us")),
]
json.dump(seen, sys.stdout)
