"""LiteX's Etherbone client on the registers of a board: argument 1 is its UDP port; prints JSON."""

import json
import socket
import sys

from litex.tools.remote.comm_udp import CommUDP

port = int(sys.argv[1])
client = CommUDP(server="127.0.0.1", port=port)
# Its own socket would want the port of the device, which is on the same machine here.
client.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.socket.settimeout(5)
seen = {
    "probe": client.probe("127.0.0.1", port),
    "identity": client.read(0x000 * 4),
    "burst": client.read(0x000 * 4, length=3),
    "hole": client.read(0x03F * 4),
}
client.write(0x006 * 4, 0xCAFE)
seen["scratch"] = client.read(0x006 * 4)
client.write(0x040 * 4, [5, 6, 1])
client.write(0x011 * 4, 16)
seen["channel"] = client.read(0x040 * 4, length=3)
client.write(0x007 * 4, 1)
seen["serial"] = client.read(0x007 * 4)
client.close()
json.dump(seen, sys.stdout)
