"""The maker's SDK drives a DLC pro: plain client, typed client, monitoring line. Prints JSON.

Arguments: host, command port, monitoring port.
"""

import json
import sys
import time

from toptica.lasersdk.client import Client, DecopError, NetworkConnection, UserLevel
from toptica.lasersdk.dlcpro.v3_0_1 import DLCpro

host, command_port, monitoring_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
found = {}


def refused(work):
    """The words of a refusal; None when there was none."""
    try:
        work()
    except DecopError as error:
        return str(error)
    return None


with Client(NetworkConnection(host, command_port, monitoring_port)) as client:
    found["serial_number"] = client.get("serial-number", str)
    found["uptime"] = client.get("uptime", int)
    found["enabled"] = client.get("laser1:dl:cc:enabled", bool)
    found["status"] = client.set("laser1:dl:cc:current-set", 81.25)
    found["current_set"] = client.get("laser1:dl:cc:current-set", float)
    found["current_gsv"] = client.get_set_value("laser1:dl:cc:current-set", float)
    found["clipped"] = client.set("laser1:dl:cc:current-set", 400.0)
    found["current_clipped"] = client.get("laser1:dl:cc:current-set")
    found["unknown"] = refused(lambda: client.get("laser9:dl:cc:enabled", bool))
    found["read_only"] = refused(lambda: client.set("laser1:dl:cc:current-act", 1.0))
    found["wrong_type"] = refused(lambda: client.set("laser1:dl:cc:current-set", True))
    found["level_before"] = refused(lambda: client.set("laser1:dl:cc:positive-polarity", False))
    found["level"] = int(client.change_ul(UserLevel.MAINTENANCE, "CAUTION"))
    found["level_after"] = client.set("laser1:dl:cc:positive-polarity", False)
    news = []
    client.subscribe(
        "laser1:dl:cc:current-set", lambda one, at, value: news.append((one.name, value.get())), float
    )
    client.set("laser1:dl:cc:current-set", 77.0)
    deadline = time.monotonic() + 10
    while len(news) < 2 and time.monotonic() < deadline:
        client.run(timeout=0.1)
    found["news"] = news

with DLCpro(NetworkConnection(host, command_port, monitoring_port)) as dlc:
    found["system_type"] = dlc.system_type.get()
    found["label"] = dlc.system_label.get()
    found["health"] = dlc.system_health_txt.get()
    found["interlock_open"] = dlc.interlock_open.get()
    dlc.laser1.dl.cc.current_set.set(90.0)
    dlc.laser1.dl.cc.enabled.set(True)
    found["emission"] = dlc.emission.get()
    found["typed_current"] = dlc.laser1.dl.cc.current_act.get()
    found["clip"] = dlc.laser1.dl.cc.current_clip.get()
    dlc.laser1.dl.tc.temp_set.set(24.0)
    found["temp_set"] = dlc.laser1.dl.tc.temp_set.get()
    found["temp_act"] = dlc.laser1.dl.tc.temp_act.get()
    found["ready"] = dlc.laser1.dl.tc.ready.get()
    found["mon_port"] = dlc.net_conf.mon_port.get()

json.dump(found, sys.stdout)
