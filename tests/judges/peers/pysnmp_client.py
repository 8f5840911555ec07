"""pysnmp's own manager walks an agent: argument 1 is its UDP port; prints JSON."""

import asyncio
import json
import sys

from pysnmp.hlapi.v3arch.asyncio import (
    CommunityData,
    ContextData,
    ObjectIdentity,
    ObjectType,
    SnmpEngine,
    UdpTransportTarget,
    bulk_walk_cmd,
    get_cmd,
)

ROW = "1.3.6.1.4.1.96.100.7.5.1"


async def main():
    engine = SnmpEngine()
    target = await UdpTransportTarget.create(("127.0.0.1", int(sys.argv[1])), timeout=2, retries=1)
    public = CommunityData("public", mpModel=1)
    seen = {"walk": []}
    objects = [ObjectType(ObjectIdentity(f"{ROW}.{column}.1")) for column in (6, 7, 10, 15)]
    trouble, status, _, bound = await get_cmd(engine, public, target, ContextData(), *objects)
    seen["trouble"] = [str(trouble), int(status)]
    seen["types"] = [type(value).__name__ for _, value in bound]
    seen["state"] = [str(bound[0][1]), int(bound[1][1])]
    root = ObjectType(ObjectIdentity("1.3.6.1.4.1.96.100"))
    async for trouble, status, _, bound in bulk_walk_cmd(
        engine, public, target, ContextData(), 0, 7, root, lexicographicMode=False
    ):
        seen["trouble"] += [str(trouble), int(status)]
        seen["walk"] += [str(name) for name, _ in bound]
    engine.close_dispatcher()
    json.dump(seen, sys.stdout)


asyncio.run(main())
