"""Copy the screenshots of the live page that the judge in Chromium took last into the documentation.

Owns which of them README and the guide show. Refuses to take any: tests/judges/test_live_page_in_chromium.py
does, against an emulated lab that runs, and leaves them in build/screenshots.

Usage: python scripts/pictures.py
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TAKEN = ROOT / "build" / "screenshots"
SHOWN = ROOT / "docs" / "pictures"
NAMES = ("desktop-light", "desktop-something-to-look-at", "phone-dark")


def main() -> int:
    """Exit code 1 when one of them has not been taken."""
    missing = [name for name in NAMES if not (TAKEN / f"{name}.png").exists()]
    if missing:
        print(f"not taken: {', '.join(missing)}; run `make judges` first", file=sys.stderr)
        return 1
    SHOWN.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        shutil.copyfile(TAKEN / f"{name}.png", SHOWN / f"live-page-{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
