"""Driver of the {{cookiecutter.maker}} {{cookiecutter.product}}."""

from typing import ClassVar

from bellwire.drivers.addresses import stream
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.session import Transport
from bellwire.drivers.session_instrument import SessionInstrument


class {{cookiecutter.class_name}}(SessionInstrument):
    """{{cookiecutter.maker}} {{cookiecutter.product}}."""

    model = "{{cookiecutter.model}}"
    parameters: ClassVar[tuple[Parameter, ...]] = ()  # what people may read and set

    def _transport(self) -> Transport:
        """A byte stream at `self.address`: say `port=` for TCP, `baud_rate=` for serial."""
        return stream(self.name, self.address)

    async def _identify(self) -> Identity:
        """Ask model, serial number and firmware; raise ProtocolFault for an answer that is none."""
        raise NotImplementedError("ask the instrument who it is")

    async def safe_state(self) -> None:
        """Bring the outputs to a safe state, confirmed by read-back."""
        raise NotImplementedError("say what is safe, and read it back")
