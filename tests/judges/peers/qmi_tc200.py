"""QMI's driver of the Thorlabs TC200 on a serial line: argument 1 is its path; prints JSON."""

import json
import sys

import qmi
from qmi.core.exceptions import QMI_InstrumentException
from qmi.instruments.thorlabs.tc200 import Thorlabs_TC200

seen = {}


def complaint(work, *arguments):
    try:
        work(*arguments)
    except QMI_InstrumentException as problem:
        return str(problem)
    return None


qmi.start("peer", config_file=None, console_loglevel="ERROR")
try:
    oven = qmi.make_instrument("oven", Thorlabs_TC200, f"serial:{sys.argv[1]}:baudrate=115200")
    oven.open()
    identity = oven.get_idn()
    seen["identity"] = [identity.vendor, identity.model, identity.version]
    seen["cold_c"] = [oven.get_temperature_setpoint(), oven.get_temperature_actual()]
    oven.set_temperature(48.6)
    oven.set_power_limit(12.5)
    oven.set_temperature_limit(80.0)
    oven.set_pid_gains(100, 20, 3)
    seen["set"] = [
        oven.get_temperature_setpoint(),
        oven.get_power_limit(),
        oven.get_temperature_limit(),
        list(oven.get_pid_gains()),
    ]
    seen["refused"] = complaint(oven.set_temperature, 90.0)
    status = oven.get_status()
    seen["status"] = [
        status.output_state.name,
        status.mode.name,
        status.sensor_type.name,
        status.unit.name,
        status.alarm.name,
    ]
    oven.enable()
    oven.enable()
    seen["enabled"] = oven.is_enabled()
    oven.disable()
    seen["disabled"] = oven.is_enabled()
    oven.enable()
    oven.close()
finally:
    qmi.stop()
json.dump(seen, sys.stdout)
