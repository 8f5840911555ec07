"""QMI's driver of the NKT Koheras laser on a serial line: argument 1 is its path, 2 the number of rounds;
prints JSON.
"""

import json
import sys

import qmi
from qmi.core.exceptions import QMI_InstrumentException
from qmi.instruments.nkt_photonics.adjustik import KoherasAdjustikLaser

KoherasAdjustikLaser.RESPONSE_TIMEOUT = 0.1
seen = {"differences": []}
qmi.start("peer", config_file=None, console_loglevel="CRITICAL")
try:
    laser = qmi.make_instrument("nkt", KoherasAdjustikLaser, f"serial:{sys.argv[1]}:baudrate=115200")
    laser.open()
    seen["types"] = [laser.get_basik_module_type(), laser.get_adjustik_module_type()]
    for number in range(int(sys.argv[2])):
        power_mw = round(13.10 + 0.64 * number, 2)
        laser.set_basik_output_power_setpoint_mW(power_mw)
        found_mw = laser.get_basik_output_power_setpoint_mW()
        if abs(found_mw - power_mw) > 1e-6:
            seen["differences"].append([power_mw, found_mw])
    seen["last_mw"] = found_mw
    laser.set_basik_output_power_setpoint_mW(25.66)
    seen["dbm"] = laser.get_basik_output_power_setpoint_dBm()
    laser.set_basik_wavelength_offset_setpoint(-12.3)
    seen["offset_pm"] = laser.get_basik_wavelength_offset_setpoint()
    seen["dark"] = [laser.get_basik_emission(), laser.get_basik_status_bits() & 1]
    laser.enable_basik_emission()
    seen["light"] = [laser.get_basik_emission(), laser.get_basik_status_bits() & 1]
    seen["power_mw"] = laser.get_basik_output_power_mW()
    seen["temperature_c"] = laser.get_basik_module_temperature()
    seen["supply_v"] = laser.get_basik_module_supply_voltage()
    seen["wavelength"] = laser.get_basik_standard_wavelength()
    seen["user_area_bytes"] = len(laser.get_basik_user_area())
    try:
        laser.set_basik_output_power_setpoint_mW(600.0)
        seen["refused"] = ""
    except QMI_InstrumentException as error:
        seen["refused"] = str(error)
    laser.disable_basik_emission()
    laser.close()
finally:
    qmi.stop()
json.dump(seen, sys.stdout)
