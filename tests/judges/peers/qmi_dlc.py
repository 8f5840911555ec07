"""QMI's driver of the DLC pro. Prints JSON. Arguments: host, port."""

import json
import logging
import sys

import qmi
from qmi.instruments.toptica.dlc import Toptica_DLC

host, port = sys.argv[1], int(sys.argv[2])
logging.disable(logging.CRITICAL)
qmi.start("judge", config_file=None)
found = {}
try:
    dlc = qmi.make_instrument("dlc", Toptica_DLC, f"tcp:{host}:{port}")
    dlc.open()
    dlc.set_parameter("laser1:dl:cc:current-set", 72.5)
    dlc.set_multiple_parameters([("laser1:dl:cc:current-set", 73.5), ("laser1:dl:cc:enabled", True)])
    found["serial_number"] = dlc.get_parameter("serial-number")
    found["several"] = dlc.get_multiple_parameters(
        ["laser1:dl:cc:current-act", "laser1:dl:cc:enabled", "emission"]
    )
    try:
        dlc.get_parameter("laser9:nothing")
    except ValueError as error:
        found["unknown"] = str(error)
    dlc.close()
finally:
    qmi.stop()
json.dump(found, sys.stdout)
