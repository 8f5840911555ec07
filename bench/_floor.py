"""The work of a homogeneous repeater chain as one bare heap loop: a floor for cost, and an independent rate.

Owns the rules of W1 written down once more without any protocol: no ledger, no messages, no facts, only
the times at which they would arrive. Refuses to be a simulator of anything else.

Rules: `lanes` memory pairs a link; a lane whose two memories are free attempts every `PERIOD_NS`,
failures are skipped by one geometric draw; an inner node swaps the oldest pair of each side at once; both
outer ends hear of it after `HOP_NS` a hop; a failure frees them, a pair from end to end is delivered when
both have heard, and frees them.
"""

import heapq
import math
import random
from typing import NamedTuple

PERIOD_NS = 50_000
HOP_NS = 50_000
SUCCESS_PROBABILITY = 0.01
SWAP_PROBABILITY = 0.5


class Floor(NamedTuple):
    """What the loop counted."""

    events: int
    attempts: int
    heralds: int
    swaps: int
    delivered: int


class _Chain:
    """A pair over some links: its two end memories, None once freed, and whether it is worth anything."""

    __slots__ = ("alive", "ends")

    def __init__(self, one: int, two: int) -> None:
        self.ends: list[int | None] = [one, two]
        self.alive = True


def run_floor(nodes: int, lanes: int, duration_ns: int, seed: int) -> Floor:
    """One chain for `duration_ns`. Memory (link, lane, side) has the number 2 (link lanes + lane) + side."""
    chance = random.Random(seed).random
    links = nodes - 1
    log_failure = math.log1p(-SUCCESS_PROBABILITY)
    heap: list[tuple[int, int, int, int, int, int]] = []  # time, counter, kind, memory, its use, far memory
    chain_of: list[_Chain | None] = [None] * (2 * links * lanes)
    busy = [False] * len(chain_of)
    use = [0] * len(chain_of)
    waiting: list[tuple[dict[int, None], dict[int, None]]] = [
        ({}, {}) for _ in range(nodes)
    ]  # left, right pairs
    counter = attempts = heralds = swaps = delivered = events = now_ns = 0

    def node_of(memory: int) -> int:
        return memory // 2 // lanes + memory % 2

    def begin(memory: int) -> None:
        nonlocal counter, attempts
        even = memory & ~1
        if busy[even] or busy[even + 1]:
            return
        busy[even] = busy[even + 1] = True
        needed = 1 + int(math.log(1.0 - chance()) / log_failure)
        attempts += needed
        counter += 1
        heapq.heappush(heap, (now_ns + needed * PERIOD_NS, counter, 0, even, 0, 0))

    def free(memory: int) -> None:
        chain = chain_of[memory]
        if chain is not None:
            chain.ends[chain.ends.index(memory)] = None
            chain.alive = False
        waiting[node_of(memory)][1 - memory % 2].pop(memory, None)
        chain_of[memory] = None
        busy[memory] = False
        use[memory] += 1
        begin(memory)

    def tell(node: int, chain: _Chain) -> None:
        """Both ends of what a swap at `node` made hear of it."""
        nonlocal counter
        one, two = chain.ends
        if chain.alive:
            assert one is not None
            assert two is not None
            if node_of(one) == 0 and node_of(two) == links:
                counter += 1
                heard_ns = now_ns + max(node, links - node) * HOP_NS
                heapq.heappush(heap, (heard_ns, counter, 2, one, use[one], two))
            return
        for end in (one, two):
            if end is not None:
                counter += 1
                heard_ns = now_ns + abs(node_of(end) - node) * HOP_NS
                heapq.heappush(heap, (heard_ns, counter, 1, end, use[end], 0))

    def settle(memory: int) -> None:
        """A memory has become half of a pair: swap it, or let it wait."""
        nonlocal swaps
        node = node_of(memory)
        if node in (0, links):
            return
        side = 1 - memory % 2  # memories of side 1 of their link hold the node's left pairs
        others = waiting[node][1 - side]
        if not others:
            waiting[node][side][memory] = None
            return
        other = next(iter(others))
        del others[other]
        swaps += 1
        left, right = (other, memory) if side else (memory, other)
        one, two = chain_of[left], chain_of[right]
        assert one is not None
        assert two is not None
        succeeded = chance() < SWAP_PROBABILITY
        joined = _Chain(0, 0)
        joined.ends = [one.ends[0], two.ends[1]]
        joined.alive = one.alive and two.alive and succeeded
        for end in joined.ends:
            if end is not None:
                chain_of[end] = joined
        chain_of[left] = chain_of[right] = None
        free(left)
        free(right)
        tell(node, joined)

    for memory in range(0, len(chain_of), 2):
        begin(memory)
    while heap:
        now_ns, _, kind, memory, used, far = heapq.heappop(heap)
        if now_ns > duration_ns:
            break
        events += 1
        if kind == 0:
            heralds += 1
            chain_of[memory] = chain_of[memory + 1] = _Chain(memory, memory + 1)
            settle(memory)
            settle(memory + 1)
        elif use[memory] == used:
            if kind == 2:
                delivered += 1
                free(far)
            free(memory)
    return Floor(events, attempts, heralds, swaps, delivered)
