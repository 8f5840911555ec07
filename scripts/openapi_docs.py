"""Write docs/openapi.json, the description of the northbound API, from its routes and words.

Owns that file, whole. The description depends on no lab: any shipped one serves.

Usage: python scripts/openapi_docs.py [--check]   --check writes nothing, exits 1 when the file is stale
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from bellwire.labs import load_lab
from bellwire.northbound.agents import ControlAgents
from bellwire.northbound.app import create_app
from bellwire.northbound.service import Northbound

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "openapi.json"


async def described() -> str:
    """The whole file."""
    with tempfile.TemporaryDirectory() as place:
        state = Path(place)
        lab = load_lab(ROOT / "lab_configs" / "two_node_link.yaml", live=True)
        app = create_app(Northbound(lab=lab, state_dir=state, agents=ControlAgents(state)))
        return json.dumps(app.openapi(), indent=1, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    wanted = asyncio.run(described())
    if "--check" in arguments:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        print(f"docs/{PAGE.name} is stale: run python scripts/openapi_docs.py")
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
