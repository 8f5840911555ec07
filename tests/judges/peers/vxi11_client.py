"""python-vxi11 against one instrument: vxi11_client.py PORT. Prints what it saw, as JSON.

Run with the interpreter of the peers; nothing of bellwire is imported.
"""

import contextlib
import json
import sys
import threading
from collections.abc import Callable

from vxi11.vxi11 import CoreClient, Instrument, Vxi11Exception

SHORT_S = 0.1
LONG_S = 5.0


def connect(port: int) -> Instrument:
    """A client that was told the port, instead of asking a portmapper."""
    instrument = Instrument("127.0.0.1")
    instrument.client = CoreClient("127.0.0.1", port)
    instrument.timeout = LONG_S
    instrument.lock_timeout = SHORT_S
    instrument.open()
    return instrument


def complaint(act: Callable[[], object]) -> str:
    """What the client says when something is refused."""
    try:
        act()
    except Vxi11Exception as error:
        return str(error)
    return "nothing"


def main(port: int) -> None:
    first, second = connect(port), connect(port)
    seen: dict[str, object] = {"identity": first.ask("*IDN?")}
    second.write("TRIG:COUN 7;SOUR BUS")
    seen["count"] = first.ask("TRIG:COUN?")
    first.trigger()

    block = bytes(range(256)) * 800
    first.write_raw(b"MEM #6%d" % len(block) + block)
    seen["block"] = first.ask_raw(b"MEM?") == b"#6%d" % len(block) + block + b"\n"

    first.lock()
    seen["locked"] = complaint(lambda: second.write("*CLS"))
    first.unlock()
    seen["unlocked"] = complaint(lambda: second.write("*CLS"))

    first.write("*IDN?")
    first.clear()
    first.write("*SRE 4;BOGUS")
    seen["status"] = [first.read_stb(), first.read_stb()]
    seen["error"] = first.ask("SYST:ERR?")

    first.timeout = SHORT_S
    seen["unasked"] = complaint(first.read)
    first.timeout = LONG_S
    seen["unterminated"] = first.ask("SYST:ERR?")

    refusals: list[str] = []
    reader = threading.Thread(target=lambda: refusals.append(complaint(second.read)))
    reader.start()
    while reader.is_alive():
        with contextlib.suppress(Vxi11Exception):
            second.abort()
        reader.join(0.01)
    seen["aborted"] = refusals
    first.close()
    second.close()
    json.dump(seen, sys.stdout)


main(int(sys.argv[1]))
