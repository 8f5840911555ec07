"""Each link, node and station of the ten-node lab is taken away in turn: what becomes of its requests.

Virtual time, several worlds; every request has reserved a rate. One that needs what is gone must be
re-routed or definitely ended within WITHIN_S. One that does not must not notice: its pairs of the seconds
afterwards are held against the same worlds without the outage, and against what it reserved.

Usage: python bench/outages.py [WORLDS]    writes bench/results/outages.json; exits 1 when a promise is broken
"""

import json
import math
import sys
from collections import defaultdict
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

Row = dict[str, Any]


def the_lab() -> Lab:
    lab = load_lab(ROOT / "lab_configs" / "scy_qnet.yaml")
    return replace(lab, requests=standing(lab.requests, RATE_HZ))


def one(outage: Outage, seed: int) -> tuple[Outage, int, list[Seen]]:
    """One world with one outage."""
    return outage, seed, list(live_through(the_lab(), outage, seed, AT_NS, AFTER_NS).values())


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def seconds(values: list[float]) -> str:
    if not values:
        return "–"
    return f"{quantile(values, 0.5):.2f}, {quantile(values, 0.95):.2f}, {max(values):.2f}"


def row_of(kind: str, cases: list[tuple[Outage, int, list[Seen]]], wrong: list[str]) -> Row:
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


def untouched(
    cases: list[tuple[Outage, int, list[Seen]]], calm: dict[int, list[Seen]], wrong: list[str]
) -> list[Row]:
    """Requests that an outage does not concern: their pairs over those of the same worlds without it, and the
    least rate that any of them had over what it had reserved."""
    sums: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for _, seed, seen in cases:
        for each, without in zip(seen, calm[seed], strict=True):
            if each.affected:
                continue
            alone = all(other is each or not other.affected for other in seen)
            beside = (
                "alone" if alone else "shares a link with a re-routed one" if each.beside else "others left"
            )
            counts = [one.pairs(AT_NS, AT_NS + AFTER_NS) for one in (each, without)]
            sums[f"{each.request}, {beside}"].append((counts[0], counts[1]))
    rows: list[Row] = []
    reserved = RATE_HZ * AFTER_NS / NS_PER_S
    for name, counts in sorted(sums.items()):
        pairs, expected = (sum(each) for each in zip(*counts, strict=True))
        ratio = pairs / expected
        error = ratio * math.sqrt(1 / pairs + 1 / expected)
        least = min(each for each, _ in counts)
        if ratio < 1.0 - 4.0 * error and "shares" not in name:
            wrong.append(f"{name}: {ratio:.3f} ± {error:.3f} of the pairs without any outage")
        if least < reserved - 4.0 * math.sqrt(reserved):
            wrong.append(f"{name}: {least} pairs in {AFTER_NS / NS_PER_S:g} s, {reserved:g} were reserved")
        rows.append(
            {
                "request": name,
                "cases": len(counts),
                "pairs": pairs,
                "over the same worlds without outage": f"{ratio:.3f} ± {error:.3f}",
                "least rate over the reserved one": round(least / reserved, 2),
            }
        )
    return rows


def note_of(worlds: int, others: list[Row]) -> str:
    parts = [
        f"{row['request']}: {row['over the same worlds without outage']} ({row['cases']} cases, least rate "
        f"{row['least rate over the reserved one']} of the reserved one)"
        for row in others
    ]
    return (
        f"{worlds} worlds; each request has reserved {RATE_HZ:g} pairs/s. Requests that an outage does not "
        f"concern, {AFTER_NS // NS_PER_S} s afterwards, pairs over those of the same worlds without it: "
        + "; ".join(parts)
        + "."
    )


def main() -> int:
    worlds = range(1, 1 + (int(sys.argv[1]) if len(sys.argv) > 1 else WORLDS))
    outages = outages_of(the_lab())
    work = [(outage, seed) for outage in [Outage("none"), *outages] for seed in worlds]
    done = Parallel(n_jobs=-1)(delayed(one)(outage, seed) for outage, seed in work)
    calm = {seed: seen for outage, seed, seen in done if outage.kind == "none"}
    wrong: list[str] = []
    rows = [
        row_of(kind, [case for case in done if case[0].kind == kind], wrong)
        for kind in ("link", "node", "station")
    ]
    others = untouched([case for case in done if case[0].kind != "none"], calm, wrong)
    result = {
        "title": "The ten-node lab loses each link, node and station in turn",
        "command": f"python bench/outages.py {len(worlds)}",
        "rows": rows,
        "note": note_of(len(worlds), others),
        "others": others,
        "broken promises": wrong,
    }
    target = ROOT / "bench" / "results" / "outages.json"
    target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for row in [*rows, *others]:
        print(row)
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
