"""The compiled loop of the model of one route.

Owns time, memories, pairs and draws. Refuses the meaning of its numbers, which is that of route_model.py. One
function: a compiled loop is fastest, and easiest to compare with the rules, in one piece.

Rules (algorithms.md 8.5): a link lane attempts while either end has a memory for it; a swap occupies its two
memories for its duration; the far ends act on its outcome when both of them know it; ages follow the oldest
constituent; a node decides on a new pair, on an outcome, and every `look_s`.
"""

from math import ceil, inf, log, log1p

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FREE, HELD, TOLD, GONE = 0, 1, 2, 3
"""States of a pair: none here, held, outcome on its way, given up and its far end not yet told."""

YOUNGEST_PLANNED, OLDEST_PLANNED, OLDEST, YOUNGEST, LONGEST, SHORTEST, SCORE = range(7)
"""Orders among allowed candidates."""

DELIVERED, DURATION, AGE, SWAPS, FAILED, LINKS, GIVEN_UP, OCCUPIED = range(8)
"""Places of the figures: number, s, sum of ages at delivery (s), numbers, and memory seconds in use."""


@njit(cache=True, nogil=True)
def run_route(
    period_s: Floats,
    success: Floats,
    lanes: Integers,
    decided: Integers,
    swap_probability: Floats,
    swap_s: Floats,
    memories: Integers,
    left_max: Integers,
    right_max: Integers,
    delay_s: Floats,
    allowed: NDArray[np.bool_],
    order: int,
    worth: Floats,
    partner_s: Floats,
    cutoff_s: Floats,
    patience_s: Floats,
    weights: Floats,
    look_s: float,
    seed: int,
    warm: int,
    wanted: int,
    limit_s: float,
    at_s: Floats,
    figures: Floats,
) -> None:
    """Until `wanted` deliveries after `warm` others, or until `limit_s`. Fills at_s and figures.

    allowed: (n+1, n+1, n+1) left end, swapping node, right end. weights: gain, alpha, patience, occupancy,
    its power, and whether older pairs of a segment are left out. cutoff_s, patience_s, worth, partner_s:
    (n+1, n+1) by segment.
    """
    np.random.seed(seed)
    hops = period_s.size
    most_lanes = lanes.max()
    room = memories.sum() + 2
    state = np.zeros(room, np.int64)
    left = np.zeros(room, np.int64)
    right = np.zeros(room, np.int64)
    born = np.zeros(room)
    since = np.zeros(room)  # HELD: when it became available; TOLD, GONE: when that is over
    fine = np.zeros(room, np.bool_)
    spare = np.zeros(room, np.bool_)
    due = np.full((hops, most_lanes), inf)
    used = np.zeros(hops + 1, np.int64)
    used_left = np.zeros(hops + 1, np.int64)
    used_right = np.zeros(hops + 1, np.int64)
    # Memories of swaps in progress: at most half of a node's memories take part in swaps.
    busy_until = np.full((hops + 1, memories.max()), inf)
    now = start = next_look = 0.0
    next_look = look_s
    delivered = 0
    gain, alpha, patience, relief, relief_power = weights[0], weights[1], weights[2], weights[3], weights[4]
    root_cut = cutoff_s[0, hops]
    while delivered < warm + wanted and now < limit_s:
        for link in range(hops):
            for lane in range(lanes[link]):
                if due[link, lane] == inf:
                    a, b = link, link + 1
                    if (
                        used[a] < memories[a]
                        and used[b] < memories[b]
                        and used_right[a] < right_max[a]
                        and used_left[b] < left_max[b]
                    ):
                        used[a] += 1
                        used[b] += 1
                        used_right[a] += 1
                        used_left[b] += 1
                        tries = 1.0
                        if success[link] < 1.0:
                            tries = max(1.0, ceil(log(1.0 - np.random.random()) / log1p(-success[link])))
                        due[link, lane] = now + (tries - 1.0 + decided[link]) * period_s[link]
        # What happens next: 0 look, 1 link pair, 2 outcome or word of a release, 3 too old, 4 swap over.
        when, what, which, lane_of = next_look, 0, -1, 0
        for link in range(hops):
            for lane in range(lanes[link]):
                if due[link, lane] < when:
                    when, what, which, lane_of = due[link, lane], 1, link, lane
        for e in range(room):
            if state[e] == HELD:
                x, y = left[e], right[e]
                last = min(born[e] + cutoff_s[x, y], since[e] + patience_s[x, y])
                if last < when:
                    when, what, which = last, 3, e
            elif state[e] != FREE and since[e] < when:
                when, what, which = since[e], 2, e
        for n in range(1, hops):
            for place in range(memories[n] // 2):
                if busy_until[n, place] < when:
                    when, what, which, lane_of = busy_until[n, place], 4, n, place
        if when < now:
            when = now
        if delivered >= warm:
            for n in range(hops + 1):
                figures[OCCUPIED] += used[n] * (when - now)
        now = when
        one = two = -1
        if what == 0:
            next_look = now + look_s
        elif what == 1:
            due[which, lane_of] = inf
            if delivered >= warm:
                figures[LINKS] += 1
            e = 0
            while state[e] != FREE:
                e += 1
            left[e], right[e], born[e], since[e], state[e] = which, which + 1, now, now, HELD
            one, two = which, which + 1
            if hops == 1:
                state[e] = TOLD
                fine[e] = True
        elif what == 2:
            x, y = left[which], right[which]
            if state[which] == TOLD and fine[which] and (x > 0 or y < hops):
                if now < born[which] + cutoff_s[x, y]:
                    state[which] = HELD
                    since[which] = now
                    one, two = x, y
                else:
                    if delivered >= warm:
                        figures[GIVEN_UP] += 1
                    state[which] = FREE
            else:
                if state[which] == TOLD and fine[which]:
                    delivered += 1
                    if delivered > warm:
                        at_s[delivered - warm - 1] = now - start
                        figures[AGE] += now - born[which]
                    elif delivered == warm:
                        start = now
                state[which] = FREE
            if state[which] == FREE:
                used[x] -= 1
                used[y] -= 1
                used_right[x] -= 1
                used_left[y] -= 1
        elif what == 3:
            if delivered >= warm:
                figures[GIVEN_UP] += 1
            state[which] = GONE
            since[which] = now + delay_s[left[which], right[which]]
        else:
            busy_until[which, lane_of] = inf
            used[which] -= 2
            used_left[which] -= 1
            used_right[which] -= 1
        # Decisions
        for n in range(1, hops):
            if what != 0 and n != one and n != two:
                continue
            while True:
                best = -inf
                best_a = best_b = -1
                occupied = used[n] / memories[n]
                for e in range(room):
                    if state[e] == HELD and (left[e] == n or right[e] == n):
                        spare[e] = False
                        if weights[5] > 0.0:  # of one segment only the youngest counts, others are its spares
                            for other in range(room):
                                if (
                                    state[other] == HELD
                                    and left[other] == left[e]
                                    and right[other] == right[e]
                                ) and (born[other] > born[e] or (born[other] == born[e] and other > e)):
                                    spare[e] = True
                for a in range(room):
                    if state[a] != HELD or right[a] != n or spare[a]:
                        continue
                    x = left[a]
                    for b in range(room):
                        if state[b] != HELD or left[b] != n or spare[b] or not allowed[x, n, right[b]]:
                            continue
                        y = right[b]
                        age_a, age_b = now - born[a], now - born[b]
                        older = max(age_a, age_b)
                        rating = 0.0
                        tie = 1e-9 * (age_a + age_b) / look_s
                        if order == YOUNGEST_PLANNED:
                            rating = -tie
                        elif order == OLDEST_PLANNED:
                            rating = tie
                        elif x == 0 and y == hops:
                            rating = 1e9 - tie
                        elif order == OLDEST:
                            rating = older + tie
                        elif order == YOUNGEST:
                            rating = -older - tie
                        elif order == LONGEST:
                            rating = y - x + tie
                        elif order == SHORTEST:
                            rating = x - y + tie
                        else:
                            life = max(0.0, 1.0 - older / root_cut) ** alpha
                            loss_a = worth[x, n] * max(0.0, 1.0 - age_a / root_cut) ** alpha
                            loss_b = worth[n, y] * max(0.0, 1.0 - age_b / root_cut) ** alpha
                            if patience > 0.0:
                                idle_a, idle_b = now - since[a], now - since[b]
                                loss_a *= max(0.0, 1.0 - idle_a / (patience * partner_s[x, n]))
                                loss_b *= max(0.0, 1.0 - idle_b / (patience * partner_s[n, y]))
                            rating = gain * swap_probability[n] * worth[x, y] * life
                            rating -= (loss_a + loss_b) * (1.0 - relief * occupied**relief_power)
                            if rating <= 0.0:
                                continue
                            rating -= tie
                        if rating > best:
                            best, best_a, best_b = rating, a, b
                if best_a < 0:
                    break
                x, y = left[best_a], right[best_b]
                place = 0
                while busy_until[n, place] < inf:
                    place += 1
                busy_until[n, place] = now + swap_s[n]
                state[best_a] = TOLD
                state[best_b] = FREE
                right[best_a] = y
                born[best_a] = min(born[best_a], born[best_b])
                since[best_a] = now + swap_s[n] + max(delay_s[n, x], delay_s[n, y])
                fine[best_a] = np.random.random() < swap_probability[n]
                if delivered >= warm:
                    figures[SWAPS] += 1
                    if not fine[best_a]:
                        figures[FAILED] += 1
    figures[DELIVERED] = max(0, delivered - warm)
    figures[DURATION] = now - start
