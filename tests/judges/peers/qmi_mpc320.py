"""QMI's driver of the Thorlabs MPC320 on a serial line: argument 1 is its path; prints JSON."""

import json
import sys
import time

import qmi
from qmi.instruments.thorlabs.apt_protocol import AptChannelJogDirection
from qmi.instruments.thorlabs.mpc320 import Thorlabs_Mpc320

seen = {}
qmi.start("peer", config_file=None, console_loglevel="ERROR")
try:
    controller = qmi.make_instrument("mpc", Thorlabs_Mpc320, f"serial:{sys.argv[1]}:baudrate=115200")
    controller.open()

    def rest(paddle):
        for _ in range(40):
            if controller.is_move_completed(paddle, 0.1):
                return True
            time.sleep(0.02)
        return False

    identity = controller.get_idn()
    seen["identity"] = [identity.vendor, identity.model.decode().rstrip("\0"), identity.serial]
    controller.set_polarisation_parameters(60, 20, 10, 11, 12)
    parameters = controller.get_polarisation_parameters()
    seen["velocity"] = parameters.velocity
    seen["home_deg"] = round(parameters.home_position, 3)
    seen["jog_deg"] = round(parameters.jog_step3, 3)
    controller.enable_channels([1, 2])
    seen["enabled"] = [controller.get_channel_state(paddle).name for paddle in (1, 2, 3)]
    angles = []
    for paddle, angle_deg in ((1, 150.0), (2, 10.0), (1, 0.0), (3, 30.0)):
        controller.move_absolute(paddle, angle_deg)
        rest(paddle)
        time.sleep(0.3)
        angles.append(round(controller.get_status_update(paddle).position, 2))
    seen["angles_deg"] = angles
    controller.jog(1, AptChannelJogDirection.FORWARD)
    time.sleep(0.3)
    seen["jogged_deg"] = round(controller.get_status_update(1).position, 2)
    controller.home_channel(2)
    time.sleep(0.5)
    seen["homed_deg"] = round(controller.get_status_update(2).position, 2)
    controller.start_auto_status_update()
    time.sleep(0.35)
    controller.stop_auto_status_update()
    time.sleep(0.1)
    seen["after_updates_deg"] = round(controller.get_status_update(2).position, 2)
    controller.disable_all_channels()
    seen["disabled"] = [controller.get_channel_state(paddle).name for paddle in (1, 2, 3)]
    controller.close()
finally:
    qmi.stop()
json.dump(seen, sys.stdout)
