"""Each link, node and station of the ten-node lab is taken away in turn: what becomes of its requests.

Virtual time, several worlds; every request has reserved a rate, and keeps to it (`reserved_only`) or takes a
share of what nobody has reserved besides. One that needs what is gone must be re-routed or definitely ended
within WITHIN_S. A steady one that does not must not notice: its pairs of the seconds afterwards are held
against the same worlds without the outage, and against what it reserved. One that shares keeps what it
reserved; what it has besides, it shares with a request that was re-routed to its links.

Usage: python bench/outages.py [WORLDS]    writes bench/results/outages*.json; exits 1 at a broken promise
"""

import json
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bellwire.core.units import NS_PER_S  # noqa: E402
from bellwire.labs import Lab, load_lab  # noqa: E402
from bellwire.study.outages import Outage, Seen, live_through, outages_of, standing  # noqa: E402

WORLDS = 10
WITHIN_S = 5.0
RATE_HZ = 4.0
"""Reserved by each request; all three have room at once."""
AT_NS = 5 * NS_PER_S
AFTER_NS = 10 * NS_PER_S
"""Long enough for what was pushed aside to have found its place again."""

ERRORS = 4.0
"""Standard errors that chance is allowed: once in 16,000 comparisons."""
STEADY, SHARING = "steady", "sharing the rest"
MOVED = "a request re-routed to its links"

Row = dict[str, Any]
Cases = list[tuple[Outage, int, list[Seen]]]


def the_lab(*, steady: bool) -> Lab:
    lab = load_lab(ROOT / "lab_configs" / "scy_qnet.yaml")
    return replace(lab, requests=standing(lab.requests, RATE_HZ, steady=steady))


def one(outage: Outage, seed: int, *, steady: bool) -> tuple[Outage, int, list[Seen]]:
    """One world with one outage."""
    return outage, seed, list(live_through(the_lab(steady=steady), outage, seed, AT_NS, AFTER_NS).values())


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def seconds(values: list[float]) -> str:
    if not values:
        return "–"
    return f"{quantile(values, 0.5):.2f}, {quantile(values, 0.95):.2f}, {max(values):.2f}"


def row_of(kind: str, cases: Cases, named: str, wrong: list[str]) -> Row:
    """What became of the affected requests of one kind of outage."""
    affected = [(outage, seed, each) for outage, seed, seen in cases for each in seen if each.affected]
    became: dict[str, list[float]] = defaultdict(list)
    pairs: list[float] = []
    for outage, seed, each in affected:
        after_s = math.inf if each.decided_ns is None else each.decided_ns / NS_PER_S
        if each.became == "source gone":
            after_s = 0.0
        if after_s > WITHIN_S:
            wrong.append(f"{outage}, world {seed}: {each.request} {each.became} after {after_s} s")
        became[each.became].append(after_s)
        if each.pair_ns is not None:
            pairs.append(each.pair_ns / NS_PER_S)
    return {
        "requests": named,
        "taken away": f"{len({str(outage) for outage, _, _ in cases})} {kind}s",
        "cases": len(cases),
        "affected requests": len(affected),
        "re-routed": len(became["re-routed"]),
        "new plan in force after s (median, 95 %, most)": seconds(became["re-routed"]),
        "first pair after s": seconds(pairs),
        "ended": len(became["ended"]),
        "ended after s": seconds(became["ended"]),
        "its source was taken away": len(became["source gone"]),
        "undecided": len(became["undecided"]),
    }


def untouched(cases: Cases, calm: dict[int, list[Seen]], named: str, wrong: list[str]) -> list[Row]:
    """Requests that an outage does not concern: their pairs over those of the same worlds without it, and the
    least rate that any of them had over what it had reserved."""
    sums: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for _, seed, seen in cases:
        for each, without in zip(seen, calm[seed], strict=True):
            if each.affected:
                continue
            beside = (
                MOVED
                if each.beside
                else "requests that ended"
                if any(other.affected for other in seen)
                else "nobody affected"
            )
            counts = [one.pairs(AT_NS, AT_NS + AFTER_NS) for one in (each, without)]
            sums[f"{each.request}, beside {beside}"].append((counts[0], counts[1]))
    rows: list[Row] = []
    reserved = RATE_HZ * AFTER_NS / NS_PER_S
    for name, counts in sorted(sums.items()):
        pairs, expected = (sum(each) for each in zip(*counts, strict=True))
        ratio = pairs / expected
        error = ratio * math.sqrt(1 / pairs + 1 / expected)
        least = min(each for each, _ in counts)
        shares_with_moved = named == SHARING and name.endswith(MOVED)
        more = ratio > 1.0 + ERRORS * error and named == STEADY
        if more or (ratio < 1.0 - ERRORS * error and not shares_with_moved):
            wrong.append(f"{name}: {ratio:.3f} ± {error:.3f} of the pairs without any outage")
        if least < reserved - ERRORS * math.sqrt(reserved):
            wrong.append(f"{name}: {least} pairs in {AFTER_NS / NS_PER_S:g} s, {reserved:g} were reserved")
        rows.append(
            {
                "requests": named,
                "request": name,
                "cases": len(counts),
                "pairs": pairs,
                "over the same worlds without outage": f"{ratio:.3f} ± {error:.3f}",
                "least rate over the reserved one": round(least / reserved, 2),
            }
        )
    return rows


def all_of(worlds: Sequence[int], *, steady: bool, wrong: list[str]) -> tuple[list[Row], list[Row]]:
    """What becomes of the affected, and of the others."""
    named = STEADY if steady else SHARING
    outages = outages_of(the_lab(steady=steady))
    work = [(outage, seed) for outage in [Outage("none"), *outages] for seed in worlds]
    done = Parallel(n_jobs=-1)(delayed(one)(outage, seed, steady=steady) for outage, seed in work)
    calm = {seed: seen for outage, seed, seen in done if outage.kind == "none"}
    kinds = ("link", "node", "station")
    rows = [row_of(kind, [case for case in done if case[0].kind == kind], named, wrong) for kind in kinds]
    return rows, untouched([case for case in done if case[0].kind != "none"], calm, named, wrong)


def main() -> int:
    worlds = range(1, 1 + (int(sys.argv[1]) if len(sys.argv) > 1 else WORLDS))
    wrong: list[str] = []
    steady, others = all_of(worlds, steady=True, wrong=wrong)
    sharing, beside = all_of(worlds, steady=False, wrong=wrong)
    command = f"python bench/outages.py {len(worlds)}"
    result = {
        "title": "The ten-node lab loses each link, node and station in turn",
        "command": command,
        "rows": [*steady, *sharing],
        "note": f"{len(worlds)} worlds; each request has reserved {RATE_HZ:g} pairs/s.",
        "broken promises": wrong,
    }
    notice = {
        "title": "Requests that an outage in the ten-node lab does not concern",
        "command": command,
        "rows": [*others, *beside],
        "note": f"Pairs of {AFTER_NS // NS_PER_S} s after the outage over those of the same worlds without. "
        f"Requests that are steady keep to what they reserved, {RATE_HZ:g} pairs/s, and must have the same "
        f"within {ERRORS:g} standard errors; others have that at least, and share what nobody has reserved.",
    }
    for name, told in (("outages", result), ("outages_others", notice)):
        target = ROOT / "bench" / "results" / f"{name}.json"
        target.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(*told["rows"], sep="\n")
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
