"""The API and the live page beside a generated lab, as `bellwire serve` runs them, in a process of their own.

Usage (by bench/live_page.py): python bench/_page_server.py STATE
"""

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bellwire.northbound.agents import ControlAgents  # noqa: E402  the folder above is on the path now
from bellwire.northbound.service import Northbound  # noqa: E402
from bellwire.northbound.serving import listening, serve  # noqa: E402
from bellwire.page.site import LivePage  # noqa: E402
from bench._generated_lab import generated_lab  # noqa: E402


async def run(state: Path) -> None:
    """Serve until SIGTERM."""
    service = Northbound(
        lab=generated_lab(), state_dir=state, agents=ControlAgents(state), open_on_loopback=True
    )
    with listening("127.0.0.1", 0, None, open_on_loopback=True) as listener:
        await serve(service, listener, None, lambda url: print(url, flush=True), LivePage(service))


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
