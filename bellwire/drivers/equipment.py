"""Which drivers can be equipment of a lab: configured by parameter names, read and moved by people.

Owns the union. Refuses drivers that make pairs (heralding FPGA, memory controller): those are configured by
their links.
"""

from __future__ import annotations

from bellwire.drivers.fpga_tagger import FpgaTagger
from bellwire.drivers.session_instrument import SessionInstrument

Equipment = SessionInstrument | FpgaTagger
EQUIPMENT: tuple[type[SessionInstrument], type[FpgaTagger]] = (SessionInstrument, FpgaTagger)
