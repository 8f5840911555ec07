"""The maker's client of the Pulse Streamer. Prints JSON on the last line. Argument: host."""

import json
import sys
import time

from pulsestreamer import ClockSource, OutputState, PulseStreamer, TriggerRearm, TriggerStart

found = {}
player = PulseStreamer(sys.argv[1])
found["binary"] = player._has_binary and player._socket is not None
found["serial_number"] = player.getSerial()
found["firmware"] = player.getFirmwareVersion()
found["hardware"] = player.getHardwareVersion()
found["hostname"] = player.getHostname()
found["temperature"] = player.getTemperature()
found["fresh"] = [player.hasSequence(), player.isStreaming(), player.hasFinished()]

player.selectClock(ClockSource.EXT_10MHZ)
found["clock"] = player.getClock().name
player.setTrigger(TriggerStart.SOFTWARE, TriggerRearm.MANUAL)
found["trigger"] = [player.getTriggerStart().name, player.getTriggerRearm().name]

sequence = player.createSequence()
sequence.setDigital(0, [(1000, 1), (3000, 0)])
sequence.setDigital([1, 2], [(500, 0), (3500, 1)])
sequence.setAnalog(0, [(4000, 0.5)])
player.stream(sequence, 10, OutputState([7], 0.25, -0.5))
found["waiting"] = [player.hasSequence(), player.isStreaming()]
player.startNow()
deadline = time.monotonic() + 5
while not player.hasFinished() and time.monotonic() < deadline:
    time.sleep(0.002)
found["finished"] = player.hasFinished()
found["state"] = player.getStreamingState()["State"].name

player.setTrigger(TriggerStart.IMMEDIATE)
found["uploaded"] = player.upload(0, sequence, player.REPEAT_INFINITELY)
found["playing"] = player.isStreaming()
long = player.createSequence()
long.setDigital(5, [(5_000_000_000, 1), (8, 0)] * 2)
player.stream(long)
many = player.createSequence()
many.setDigital(4, [(8, k % 2) for k in range(100_000)])
player.stream(many, 3)
found["underflow"] = player.getUnderflow()
player.constant(OutputState([0, 3]))
found["constant"] = player.isStreaming()
player.forceFinal()
player._has_binary = False  # the slow way by JSON-RPC
player.stream(sequence, 1)
found["slow"] = player.hasSequence()
sys.stdout.write("\n" + json.dumps(found))
