"""Work W1 on SimQN's kernel (qns 0.2.3): its simulator, nodes, memories, Werner pairs and classical channels.

Owns the rules of W1, because SimQN has neither a heralded link layer nor a protocol that swaps as soon as
possible: one event for each attempt, one classical packet to each outer end for each swap. Runs in SimQN's
own environment and imports nothing of bellwire.

Usage: python simqn_chain.py NODES SECONDS SEED    prints one JSON line
"""

import json
import random
import sys
import time

from qns.entity.cchannel.cchannel import ClassicChannel, ClassicPacket, RecvClassicPacket
from qns.entity.memory.memory import QuantumMemory
from qns.entity.node.app import Application
from qns.entity.node.node import QNode
from qns.models.epr import WernerStateEntanglement
from qns.simulator.event import Event
from qns.simulator.simulator import Simulator

LANES = 5
PERIOD_S = 50e-6
HOP_S = 50e-6
SUCCESS = 0.01
SWAP_SUCCESS = 0.5
FIDELITY = 0.99


class Half:
    """One memory: the place of one half of a pair."""

    def __init__(self, number, node, to_the_right):
        self.number = number
        self.node = node
        self.to_the_right = to_the_right
        self.pair = None  # None: nothing is stored
        self.busy = False
        self.uses = 0


class Pair:
    """Two halves, None once given up, and SimQN's state, None when a swap failed."""

    def __init__(self, left, right, state):
        self.ends = [left, right]
        self.state = state
        self.swap = 0  # the number of the swap that made it
        self.heard = 0  # ends that know of that swap


class Attempt(Event):
    """One attempt of one lane."""

    def __init__(self, t, chain, lane):
        super().__init__(t=t)
        self.chain = chain
        self.lane = lane

    def invoke(self):
        self.chain.attempted(self.lane)


class Hears(Application):
    """Hands classical packets of a node to the chain."""

    def __init__(self, chain):
        super().__init__()
        self.chain = chain
        self.add_handler(self.received, [RecvClassicPacket])

    def received(self, node, event):
        self.chain.heard(*event.packet.get())


class Chain:
    """The nodes, their memories, and the rules."""

    def __init__(self, nodes, seconds, seed):
        self.last = nodes - 1
        self.chance = random.Random(seed).random
        self.simulator = Simulator(0, seconds, accuracy=10_000_000)
        self.nodes = [QNode(f"n{index}") for index in range(nodes)]
        self.stores = [QuantumMemory(f"m{index}", capacity=2 * LANES + 4) for index in range(nodes)]
        self.channels = {}
        for one in range(nodes):
            for two in range(one + 1, nodes):
                channel = ClassicChannel(name=f"c{one}_{two}", delay=(two - one) * HOP_S)
                self.nodes[one].add_cchannel(channel)
                self.nodes[two].add_cchannel(channel)
                self.channels[one, two] = self.channels[two, one] = channel
        for node, store in zip(self.nodes, self.stores, strict=True):
            node.add_memory(store)
            node.add_apps(Hears(self))
            node.install(self.simulator)
        self.halves = []
        self.lanes = []
        for link in range(self.last):
            for _ in range(LANES):
                left = Half(len(self.halves), link, True)
                right = Half(len(self.halves) + 1, link + 1, False)
                self.halves += [left, right]
                self.lanes.append((left, right))
        self.waiting = [([], []) for _ in range(nodes)]  # of each node: halves to the left, to the right
        self.attempts = self.link_pairs = self.swaps = self.delivered = 0
        for lane in range(len(self.lanes)):
            self.begin(lane)

    def begin(self, lane):
        left, right = self.lanes[lane]
        if not left.busy and not right.busy:
            left.busy = right.busy = True
            self.plan(lane)

    def plan(self, lane):
        simulator = self.simulator
        simulator.add_event(Attempt(simulator.tc + simulator.time(sec=PERIOD_S), self, lane))

    def attempted(self, lane):
        self.attempts += 1
        if self.chance() >= SUCCESS:
            self.plan(lane)
            return
        self.link_pairs += 1
        left, right = self.lanes[lane]
        state = WernerStateEntanglement(fidelity=FIDELITY, name=f"l{self.link_pairs}")
        left.pair = right.pair = Pair(left, right, state)
        for half in (left, right):
            self.stores[half.node].write(state)
        self.settle(left)
        self.settle(right)

    def settle(self, half):
        """Swap with the oldest pair of the other side, or wait."""
        if half.node in (0, self.last):
            return
        others = self.waiting[half.node][not half.to_the_right]
        if not others:
            self.waiting[half.node][half.to_the_right].append(half)
            return
        other = others.pop(0)
        left, right = (other, half) if half.to_the_right else (half, other)
        self.swap(left, right)

    def swap(self, left, right):
        self.swaps += 1
        one, two = left.pair, right.pair
        node = left.node
        alive = one.state is not None and two.state is not None and self.chance() < SWAP_SUCCESS
        for pair in (one, two):
            if pair.state is not None:
                for half in pair.ends:
                    if half is not None:
                        self.stores[half.node].read(pair.state.name)
        state = one.state.swapping(two.state, name=f"s{self.swaps}") if alive else None
        joined = Pair(one.ends[0], two.ends[1], state)
        joined.swap = self.swaps
        for end in joined.ends:
            if end is not None:
                end.pair = joined
                if state is not None:
                    self.stores[end.node].write(state)
        left.pair = right.pair = None
        self.free(left)
        self.free(right)
        for end in joined.ends:
            if end is not None:
                packet = ClassicPacket(
                    msg=[end.number, end.uses, self.swaps, alive],
                    src=self.nodes[node],
                    dest=self.nodes[end.node],
                )
                self.channels[node, end.node].send(packet, next_hop=self.nodes[end.node])

    def heard(self, number, uses, swap, alive):
        half = self.halves[number]
        if half.uses != uses or half.pair is None:
            return
        pair = half.pair
        if not alive:
            waiting = self.waiting[half.node][half.to_the_right]
            if half in waiting:
                waiting.remove(half)
            self.free(half)
        elif None not in pair.ends and pair.state is not None:
            left, right = pair.ends
            if left.node == 0 and right.node == self.last and pair.swap == swap:
                pair.heard += 1
                if pair.heard == 2:
                    self.delivered += 1
                    self.free(left)
                    self.free(right)

    def free(self, half):
        pair = half.pair
        if pair is not None:
            if pair.state is not None:
                self.stores[half.node].read(pair.state.name)
            pair.ends[pair.ends.index(half)] = None
            pair.state = None
            half.pair = None
        half.busy = False
        half.uses += 1
        self.begin(half.number // 2)


def main():
    nodes, seconds, seed = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    chain = Chain(nodes, seconds, seed)
    wall, cpu = time.perf_counter(), time.process_time()
    chain.simulator.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        json.dumps(
            {
                "impl": "SimQN 0.2.3, kernel",
                "N": nodes,
                "sim_s": seconds,
                "wall_per_sim_s": wall / seconds,
                "cpu_per_sim_s": cpu / seconds,
                "ev_per_s": chain.simulator.total_events / wall,
                "attempts_per_s": chain.attempts / wall,
                "swaps": chain.swaps,
                "eps": chain.delivered / seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
