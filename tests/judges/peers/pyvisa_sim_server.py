"""An instrument of pyvisa-sim on a TCP port: argument 1 is its description. Prints the port, then serves.

pyvisa-sim answers within one process only; this carries lines from a socket to it and back. One client at a
time; ends with its standard input.
"""

import os
import socket
import sys
import threading

import pyvisa

RESOURCE = "TCPIP0::localhost::5025::SOCKET"


def serve(connection: socket.socket, instrument: pyvisa.resources.MessageBasedResource) -> None:
    """Carry the lines of one client."""
    with connection, connection.makefile("rwb", buffering=0) as lines:
        for line in lines:
            message = line.decode("ascii").strip()
            instrument.write(message)
            if "?" in message:
                lines.write(instrument.read().encode("ascii") + b"\n")


def end_with_input() -> None:
    """Wait until whoever started this lets go, and end."""
    sys.stdin.read()
    os._exit(0)


manager = pyvisa.ResourceManager(f"{sys.argv[1]}@sim")
resource = manager.open_resource(RESOURCE, read_termination="\n", write_termination="\n")
threading.Thread(target=end_with_input, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as server:
    sys.stdout.write(f"{server.getsockname()[1]}\n")
    sys.stdout.flush()
    while True:
        serve(server.accept()[0], resource)
