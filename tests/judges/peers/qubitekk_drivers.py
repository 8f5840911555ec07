"""A teaching laboratory's drivers of the Qubitekk QES2 and CC1: arguments are the folder that holds them and
the serial lines of the two; prints JSON.
"""

import json
import sys

folder, source_line, counter_line = sys.argv[1:]
sys.path.insert(0, folder)

from bi_photon_source import BiPhotonSource  # noqa: E402
from coincidence_counter_driver import CoincidenceCounter  # noqa: E402

source = BiPhotonSource(source_line)
seen = {
    "firmware": source.firmware_version,
    "laser": source.laser_id,
    "fault": source.fault_status,
    "dark": source.laser_on,
}
source.temperature_setpoint = 12_000
source.laser_power = 4_000
source.laser_on = True
seen["lit"] = source.laser_on
seen["turned_on"] = source.laser_turnons
seen["power"] = source.laser_power
source.laser_current = 90
seen["current_ma"] = source.laser_current
seen["setpoint"] = source.temperature_setpoint
seen["heats"] = source.heating_state
seen["temperature_c"] = source.temperature
source.laser_on = False
seen["dark_again"] = source.laser_on
source.close()

counter = CoincidenceCounter(counter_line, comm_delay=0.1)
counter.dwell_time = 0.5
counter.coincidence_window = 5
counter.ch1_delay = 4
seen["counter"] = [counter.dwell_time, counter.coincidence_window, counter.ch1_delay]
seen["counts"] = list(counter.measure_channels())
json.dump(seen, sys.stdout)
