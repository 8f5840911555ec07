"""Warm the crystal up, with nothing but pyserial and the manual of the controller."""

import time

import serial


class OvenDoesNotAnswer(Exception):
    """The controller sent no prompt in time."""


def ask(port: serial.Serial, command: str) -> str:
    """Send a command and return its reply, without echo and prompt."""
    port.write(command.encode() + b"\r")
    answer = port.read_until(b"> ")
    if not answer.endswith(b"> "):
        raise OvenDoesNotAnswer(f"{command!r}: only {answer!r} came")
    return answer.decode().split("\r", 1)[1].rstrip("> \r")


def warm_up(path: str, temperature_c: float, *, tolerance_c: float = 0.5, looks: int = 200) -> float:
    """Heat to a temperature and return it as soon as it is reached."""
    with serial.Serial(path, 115200, timeout=1.0) as port:
        ask(port, f"tset={temperature_c:.1f}")
        if not int(ask(port, "stat?"), 16) & 1:  # `ens` toggles
            ask(port, "ens")
        for _ in range(looks):
            found_c = float(ask(port, "tact?").split()[0])
            if abs(found_c - temperature_c) <= tolerance_c:
                return found_c
            time.sleep(0.1)
    raise TimeoutError(f"{found_c} C after {looks} looks, wanted {temperature_c} C")
