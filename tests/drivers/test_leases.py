"""Leases: one holder at a time, tokens that only grow, and an old token that never moves anything."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.leases import LEASE_S_MAX, Lease, LeaseRefused, Leases

S = 10**9
HOLDERS = st.sampled_from(["ann", "bob", "cleo"])


@dataclass(slots=True)
class Clock:
    """A clock that a test moves."""

    now_ns: int = 0

    def __call__(self) -> int:
        return self.now_ns


class LeaseStory(RuleBasedStateMachine):
    """Any order of grants, renewals, releases, orders and waits, beside the plainest model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.leases = Leases("oven", self.clock)
        self.given: list[Lease] = []
        self.in_force: Lease | None = None

    def _expire(self) -> None:
        if self.in_force is not None and self.clock.now_ns >= self.in_force.ends_at_ns:
            self.in_force = None

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.clock.now_ns += int(seconds * S)
        self._expire()

    @rule(holder=HOLDERS, seconds=st.floats(0.1, 15))
    def grant(self, holder: str, seconds: float) -> None:
        if self.in_force is not None and self.in_force.holder != holder:
            with pytest.raises(LeaseRefused, match=self.in_force.holder):
                self.leases.grant(holder, seconds)
            return
        lease = self.leases.grant(holder, seconds)
        assert all(lease.token > before.token for before in self.given)
        assert lease.ends_at_ns == self.clock.now_ns + int(seconds * S)
        self.given.append(lease)
        self.in_force = lease

    @rule(which=st.integers(0, 30), seconds=st.floats(0.1, 15))
    def renew(self, which: int, seconds: float) -> None:
        token = self._token(which)
        if self.in_force is None or token != self.in_force.token:
            with pytest.raises(LeaseRefused):
                self.leases.renew(token, seconds)
            return
        self.in_force = self.leases.renew(token, seconds)
        assert self.in_force.token == token

    @rule(which=st.integers(0, 30))
    def release(self, which: int) -> None:
        token = self._token(which)
        self.leases.release(token)
        if self.in_force is not None and token == self.in_force.token:
            self.in_force = None

    @rule(which=st.integers(0, 30))
    def order(self, which: int) -> None:
        token = self._token(which)
        if self.in_force is not None and token == self.in_force.token:
            assert self.leases.check(token).holder == self.in_force.holder
        else:
            with pytest.raises(LeaseRefused):
                self.leases.check(token)

    @invariant()
    def no_token_but_the_last_is_of_any_use(self) -> None:
        assert self.leases.current == self.in_force
        for lease in self.given[:-1]:
            with pytest.raises(LeaseRefused):
                self.leases.check(lease.token)

    def _token(self, which: int) -> int:
        """One that was given, or one that never was."""
        return self.given[which].token if which < len(self.given) else 1000 + which


TestLeaseStory = LeaseStory.TestCase
TestLeaseStory.settings = settings(derandomize=True, deadline=None, max_examples=60, stateful_step_count=30)


def test_without_a_lease_nothing_may_be_moved() -> None:
    with pytest.raises(LeaseRefused, match="no lease is in force"):
        Leases("oven", Clock()).check(None)


def test_a_refusal_names_the_holder_and_for_how_long() -> None:
    clock = Clock()
    leases = Leases("oven", clock)
    leases.grant("ann", 10.0)
    clock.now_ns = 4 * S
    with pytest.raises(LeaseRefused, match=r"oven is held by ann for 6\.0 s more"):
        leases.grant("bob", 1.0)


def test_a_lease_ends_at_its_very_nanosecond() -> None:
    clock = Clock()
    leases = Leases("oven", clock)
    lease = leases.grant("ann", 1.0)
    clock.now_ns = S - 1
    assert leases.check(lease.token) == lease
    clock.now_ns = S
    with pytest.raises(LeaseRefused):
        leases.check(lease.token)


@pytest.mark.parametrize("seconds", [0.0, -1.0, LEASE_S_MAX + 1, float("nan")])
def test_a_lease_of_no_time_or_for_ever_is_refused(seconds: float) -> None:
    leases = Leases("oven", Clock())
    with pytest.raises(LocalMisuse, match="up to 3600 s"):
        leases.grant("ann", seconds)
    token = leases.grant("ann", 1.0).token
    with pytest.raises(LocalMisuse, match="up to 3600 s"):
        leases.renew(token, seconds)


def test_the_same_holder_gets_a_new_token_and_the_old_one_is_dead() -> None:
    leases = Leases("oven", Clock())
    first = leases.grant("ann", 5.0)
    second = leases.grant("ann", 5.0)
    assert second.token > first.token
    with pytest.raises(LeaseRefused, match=f"token {second.token}, not {first.token}"):
        leases.check(first.token)
