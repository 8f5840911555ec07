"""QMI's driver of the NKT BOOSTIK HPA on a serial line: argument 1 is its path; prints JSON."""

import json
import sys

import qmi
from qmi.instruments.nkt_photonics.boostik import KoherasBoostikLaserAmplifier

seen = {}
qmi.start("peer", config_file=None, console_loglevel="ERROR")
try:
    amplifier = qmi.make_instrument(
        "booster", KoherasBoostikLaserAmplifier, f"serial:{sys.argv[1]}:baudrate=9600"
    )
    amplifier.open()
    seen["information"] = amplifier.get_amplifier_information()
    seen["set_a"] = [amplifier.set_current_setpoint(1.25), amplifier.get_current_setpoint()]
    seen["refused_a"] = amplifier.set_current_setpoint(99.0)
    seen["off"] = amplifier.get_amplifier_enabled()
    seen["on"] = [amplifier.set_amplifier_enabled(True), amplifier.get_amplifier_enabled()]
    seen["current_a"] = amplifier.get_actual_current()
    seen["temperatures_c"] = [
        amplifier.get_diode_booster_temperature(),
        amplifier.get_ambient_temperature(),
    ]
    seen["input_mw"] = amplifier.get_input_power()
    amplifier.close()
finally:
    qmi.stop()
json.dump(seen, sys.stdout)
