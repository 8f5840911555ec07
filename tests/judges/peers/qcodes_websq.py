"""The QCoDeS driver of the WebSQ, which holds its maker's client. Prints JSON. Arguments: host, port."""

import json
import sys
import time

from qcodes_contrib_drivers.drivers.SingleQuantum import SingleQuantum

host, port = sys.argv[1], int(sys.argv[2])
found = {}


class Comm(SingleQuantum.CommunicationHandler):
    """As the maker's, with the port of counts that belongs to this control port."""

    def __init__(self, root, log, address, control_port, counts_port):
        super().__init__(root, log, address, control_port, control_port + counts_port - 12000)


SingleQuantum.CommunicationHandler = Comm
SingleQuantum.WebSQControlqcode.connect_message = lambda self: None
websq = SingleQuantum.WebSQControlqcode("websq", host, port)


def until(work, wanted):
    """What `work` gives when it has become what is wanted, or at last."""
    deadline = time.monotonic() + 5
    while work() != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return work()


count = websq.number_of_detectors()
found["count"] = count
biases, levels = [11.0 + k for k in range(count)], [60.0 + k for k in range(count)]
websq.bias_current(biases)
found["biases"] = until(websq.bias_current, biases)
websq.trigger_level(levels)
found["levels"] = until(websq.comm.get_trigger_level, levels)
websq.measurement_periode(40)
found["period"] = until(websq.measurement_periode, 40)
websq.comm.enable_detectors(True)
found["enabled"] = until(lambda: websq.comm.talk.get_label("DetectorEnable")["value"], True)
# The client asks, and gives what it knew before the answer: so it is asked until that has come.
found["voltage"] = until(websq.bias_voltage, [round(0.1 * one, 3) for one in biases])
websq.npts(5)
websq.counters()  # periods that began before all was set
found["counts"] = [list(row) for row in websq.counters()]
websq.comm.set_dark_counts_auto_iv([10] * count)
websq.comm.auto_cali_bias_currents()
found["started"] = until(websq.comm.auto_cali_finished, False) is False
found["finished"] = until(websq.comm.auto_cali_finished, True)
found["found"] = until(websq.bias_current, websq.comm.talk.get_label("BiasCurrentAutoIV")["value"])
json.dump(found, sys.stdout)
sys.stdout.flush()
