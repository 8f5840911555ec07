"""InstrumentKit's driver of the Qubitekk CC1 on a serial line: argument 1 is its path; prints JSON."""

import json
import sys
import time

import instruments
import quantities

counter = instruments.qubitekk.CC1.open_serial(sys.argv[1], 19200, timeout=2)
seen = {"firmware": counter.firmware}


def ask(work):
    """What it makes of an answer, or why it cannot."""
    try:
        return work()
    except (KeyError, ValueError, OSError) as problem:
        return f"{type(problem).__name__}: {problem}"


counter.window = 5 * quantities.ns
counter.delay = 4 * quantities.ns
counter.dwell_time = 0.2 * quantities.s
seen["window_ns"] = ask(lambda: float(counter.window.rescale("ns")))
seen["delay_ns"] = ask(lambda: float(counter.delay.rescale("ns")))
seen["dwell_s"] = ask(lambda: float(counter.dwell_time.rescale("s")))
counter.gate = True
seen["gate"] = counter.gate
counter.gate = False
counter.subtract = True
seen["subtract"] = counter.subtract
counter.subtract = False
seen["mode"] = ask(lambda: counter.trigger_mode.name)
counter.trigger_mode = counter.TriggerMode.continuous
seen["continuous"] = ask(lambda: counter.trigger_mode.name)
counter.clear_counts()
time.sleep(0.5)
seen["counts"] = [counter.channel[k].count for k in range(3)]
json.dump(seen, sys.stdout)
