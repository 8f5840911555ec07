"""python-vxi11 asks one instrument: vxi11_dialogue.py PORT MESSAGE... Prints what was answered, as JSON.

A message with a question mark is asked, any other is written (its answer is null).
"""

import json
import sys

from vxi11.vxi11 import CoreClient, Instrument

TIMEOUT_S = 5.0


def main(port: int, messages: list[str]) -> None:
    instrument = Instrument("127.0.0.1")
    instrument.client = CoreClient("127.0.0.1", port)  # told the port, instead of asking a portmapper
    instrument.timeout = TIMEOUT_S
    instrument.open()
    answers: list[str | None] = []
    for message in messages:
        if "?" in message:
            answers.append(instrument.ask(message))
        else:
            instrument.write(message)
            answers.append(None)
    answers.append(str(instrument.read_stb()))
    instrument.close()
    json.dump(answers, sys.stdout)


main(int(sys.argv[1]), sys.argv[2:])
