"""Run every benchmark of bench/, one after the other, so that none disturbs another's clock.

Owns the order and the list of failures. Refuses to know what a benchmark measures: each
`bench/NAME.py` is one command, run from the root, that writes bench/results/NAME.json
(form: scripts/render_figures.py). Files whose name begins with `_` are shared pieces and are not run.

Usage: python scripts/benchmarks.py [NAME ...]
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    found = {path.stem: path for path in sorted((ROOT / "bench").glob("[!_]*.py"))}
    wanted = sys.argv[1:] or list(found)
    unknown = [name for name in wanted if name not in found]
    if unknown or not wanted:
        print(f"no such benchmark: {', '.join(unknown) or 'bench/ is empty'}; there are: {', '.join(found)}")
        return 2
    (ROOT / "bench" / "results").mkdir(exist_ok=True)
    failed = []
    for name in wanted:
        print(f"--- bench/{name}.py", flush=True)
        if (
            subprocess.run(
                [sys.executable, f"bench/{name}.py"], cwd=ROOT, stdin=subprocess.DEVNULL
            ).returncode
            != 0
        ):
            failed.append(name)
    print(
        f"benchmarks: {len(wanted) - len(failed)} of {len(wanted)} ran"
        + "".join(f"; {name} FAILED" for name in failed)
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
