"""Our DG645 behind python-vxi11-server: argument 1 is the folder of its sources. Writes its port and serves.

No portmapper is asked: clients are told the port. Ends with its standard input.
"""

import sys
import threading

from described_dg645 import Dg645

sys.path.insert(0, sys.argv[1])
import vxi11_server

DEVICE = Dg645("pulses")


class Link(vxi11_server.InstrumentDevice):  # type: ignore[misc]
    """One client."""

    def device_init(self) -> None:
        """Called by the server when a client comes."""
        self.replies: list[str] = []

    def device_write(self, opaque_data: bytes, flags: int, io_timeout: int) -> int:
        """A message from the client."""
        reply = DEVICE.reply(opaque_data.decode("ascii").strip())
        self.replies = [] if reply is None else [reply]
        return int(vxi11_server.Error.NO_ERROR)

    def device_read(
        self, request_size: int, term_char: int, flags: int, io_timeout: int
    ) -> tuple[int, int, bytes]:
        """What the client reads."""
        if not self.replies:
            return vxi11_server.Error.IO_TIMEOUT, 0, b""
        reply = self.replies.pop()
        return vxi11_server.Error.NO_ERROR, vxi11_server.ReadRespReason.END, reply.encode("ascii") + b"\r\n"


server = vxi11_server.InstrumentServer(Link)
for part in (server.abortServer, server.coreServer):
    threading.Thread(target=part.serve_forever, daemon=True).start()
sys.stdout.write(f"{server.coreServer.server_address[1]}\n")
sys.stdout.flush()
sys.stdin.read()
