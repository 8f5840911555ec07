"""QMI's driver of the PM100D. Prints JSON. Arguments: host, port."""

import json
import logging
import sys

import qmi
from qmi.core.exceptions import QMI_InstrumentException
from qmi.instruments.thorlabs.pm100d import Thorlabs_PM100D

host, port = sys.argv[1], int(sys.argv[2])
logging.disable(logging.CRITICAL)
qmi.start("judge", config_file=None)
seen = {}
try:
    meter = qmi.make_instrument("meter", Thorlabs_PM100D, f"tcp:{host}:{port}")
    meter.open()
    meter.reset()
    seen["identity"] = list(meter.get_idn())
    seen["sensor"] = list(meter.get_sensor_info())
    meter.set_wavelength(1310.0)
    seen["wavelength_nm"] = meter.get_wavelength()
    seen["power_w"] = meter.get_power()
    seen["current_a"] = meter.get_current()
    seen["auto"] = [meter.get_autorange()]
    meter.set_range(1e-3)
    seen["range_w"] = [meter.get_range(), meter.get_range_in_use()]
    seen["auto"].append(meter.get_autorange())
    meter.set_autorange(True)
    seen["auto"].append(meter.get_autorange())
    try:
        meter.set_wavelength(9000.0)
    except QMI_InstrumentException as error:
        seen["refused"] = str(error)
    meter.close()
finally:
    qmi.stop()
json.dump(seen, sys.stdout)
