"""Emulated {{cookiecutter.maker}} {{cookiecutter.product}}: the dialect of its manual, with its quirks on."""

from bellwire.simulator_backend.devices.device_model import LineModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator


class {{cookiecutter.class_name}}Model(LineModel):
    """One powered instrument; what the constructor sets are its power-on defaults."""

    def reply(self, line: str, now_ns: int) -> str | None:
        """Carry out one line; None where the instrument says nothing."""
        raise NotImplementedError("answer as the manual says")


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """The instrument where the order wants it: order.terminal() is a serial line, order.tcp(PORT) a TCP port."""
    raise NotImplementedError("InstrumentEmulator(order.name, model, [line], pace=order.pace)")
