"""The two protocols of the GEM at one node: Broadcast and Update (stack paper, appendix G), as two parts.

Owns the GEM's words with other nodes and parts. Refuses the meaning of facts (`fold.py`) and choices about
qubits.

Broadcast records what happened to own qubits, publishes it once a step, and wakes the owners of far ends.
Update takes in what others publish, tells the holders of own ends that were touched, and answers views.
"""

from collections.abc import Mapping

from bellwire.core.effects import Publish
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import PeerChanged, Received, Started
from bellwire.core.facts import Claimed, Fact, Fused, Released, Swapped, Verdict
from bellwire.core.ids import End, NodeId
from bellwire.core.machine import Handler, Part, Step
from bellwire.core.messages import (
    EndNews,
    FactBatch,
    FactsWanted,
    GroupNews,
    Watermark,
)
from bellwire.core.notices import (
    CENTRAL,
    EndChanged,
    EndDied,
    PeerLost,
    PeerRestarted,
    UpdatePair,
    ViewReady,
    ViewWanted,
)
from bellwire.core.settings import NetworkSettings
from bellwire.gem.news import Forwarding, WaitingNews
from bellwire.gem.questions import Questions
from bellwire.gem.replica import FactSource, Replica

CHUNKS_PER_ANSWER = 8
"""Batches sent for one FactsWanted; the closing Watermark lets the asker ask for the rest."""


class Broadcast:
    """The paper's BroadcastProtocol: own facts, one Publish a step, and word to the owners of far ends."""

    def __init__(
        self,
        settings: NetworkSettings,
        node: NodeId,
        replica: Replica,
        forwarding: Forwarding,
        *,
        digests: bool,
    ) -> None:
        self._node = node
        self._replica = replica
        self._forwarding = forwarding
        self._digests = digests
        self._interval_ns = settings.timers.answer_ns
        self._peers = tuple(
            name for name, other in settings.nodes.items() if name != node and other.role != "station"
        )
        self._facts: list[Fact] = []  # authored in this step
        self._first = 0  # number of the first of them
        self._news: list[tuple[NodeId, EndNews | GroupNews]] = []
        self._spoken_ns: int | None = None  # when this stream last said how far it goes; None: not started

    def on_events(self) -> Mapping[type, Handler]:
        """Started opens the stream."""
        return {Started: self._on_started}

    def on_messages(self) -> Mapping[type, Handler]:
        """FactsWanted asks for facts that were missed."""
        return {FactsWanted: self._on_facts_wanted}

    def on_notices(self) -> Mapping[type, Handler]:
        """UpdatePair is the paper's first GEM interface."""
        return {UpdatePair: self._on_update_pair}

    def gives(self) -> frozenset[type]:
        """Word about own ends that an own fact touched, such as a half born into a dead chain."""
        return frozenset({EndChanged, EndDied})

    def deadline_ns(self) -> int | None:
        """The next digest; None when digests are off or nothing was ever said."""
        if not self._digests or self._spoken_ns is None:
            return None
        return self._spoken_ns + self._interval_ns

    def on_deadline(self, step: Step) -> None:
        """Idle: tell every peer how far this stream goes, so that a lost tail is noticed."""
        due = self.deadline_ns()
        if due is None or step.now_ns < due:
            return
        self._spoken_ns = step.now_ns
        own = self._replica.own
        for peer in self._peers:
            step.send(peer, Watermark(incarnation=own.incarnation, last=own.last), "digest")

    def flush(self, step: Step) -> None:
        """End of a step: one Publish for all facts of the step, then word to the owners of far ends."""
        self._replica.step_over()
        facts = self._facts
        if not facts:
            return
        own = self._replica.own
        news = self._news
        batch = FactBatch(incarnation=own.incarnation, first=self._first, facts=tuple(facts), base=own.base)
        self._facts = []
        if news:
            step.order(Publish(batch=batch, urgent_to=tuple(dict.fromkeys(owner for owner, _ in news))))
            for owner, message in news:
                step.send(owner, message, "outcome")
            self._news = []
        else:
            step.order(Publish(batch=batch, urgent_to=()))
        self._spoken_ns = step.now_ns

    def _on_started(self, step: Step, event: Started) -> None:
        self._record(step, self._replica.begin(event.incarnation, step.now_ns))

    def _on_update_pair(self, step: Step, notice: UpdatePair) -> None:
        fact = notice.fact
        replica = self._replica
        if notice.audience or type(fact) is Fused:
            self._tell_group(step, notice, ())
        elif group := self._group_of(step, fact):
            self._tell_group(step, notice, group)
        elif type(fact) is Swapped:
            replica.refresh(step.now_ns)
            left = replica.fold.concerned(fact.left)
            right = replica.fold.concerned(fact.right)
            number = replica.author(fact)
            self._forwarding.swapped(fact, left, right)
            self._wake(left, number)
            self._wake(right, number)
        elif type(fact) is Released and fact.reason != "delivered":
            replica.refresh(step.now_ns)
            far = replica.fold.concerned(fact.end, release=True)
            self._wake(far, replica.author(fact))
        elif type(fact) is Verdict or type(fact) is Claimed:
            replica.refresh(step.now_ns)
            far = replica.fold.concerned(fact.end)
            self._wake(far, replica.author(fact))
        else:
            replica.author(fact)
        self._record(step, fact)

    def _group_of(self, step: Step, fact: Fact) -> tuple[NodeId, ...]:
        """Whom a swap or a loss within a group of three and more concerns."""
        fold = self._replica.fold
        if not fold.grouped:
            return ()
        self._replica.refresh(step.now_ns)
        if type(fact) is Swapped:
            return fold.audience(fact.left, fact.right)
        return fold.audience(fact.end) if type(fact) is Released and fact.reason != "delivered" else ()

    def _tell_group(self, step: Step, notice: UpdatePair, group: tuple[NodeId, ...]) -> None:
        """A fact that concerns more than two: all who may have a qubit of the group look."""
        replica = self._replica
        replica.refresh(step.now_ns)
        concerned = dict.fromkeys((*notice.audience, *group))
        number = replica.author(notice.fact)
        news = GroupNews(incarnation=replica.own.incarnation, number=number)
        self._news += [(owner, news) for owner in concerned if owner != self._node]

    def _record(self, step: Step, fact: Fact) -> None:
        if not self._facts:
            self._first = self._replica.own.last
        self._facts.append(fact)
        replica = self._replica
        replica.now_ns = step.now_ns  # what is left to tell is due now
        if replica.touched:
            replica.tell(step)

    def _wake(self, far: tuple[End, NodeId] | None, number: int) -> None:
        if far is None or far[1] == self._node:
            return  # nobody holds it any more, or this node was told by its own fold
        news = EndNews(
            end=far[0], author=self._node, incarnation=self._replica.own.incarnation, number=number
        )
        self._news.append((far[1], news))

    def _on_facts_wanted(self, step: Step, event: Received) -> None:
        wanted = event.message
        if not isinstance(wanted, FactsWanted):
            raise LocalMisuse(f"{type(wanted).__name__} was routed to the handler of FactsWanted")
        own = self._replica.own
        if own.incarnation == 0:
            return  # not started: the first Publish will say everything
        if wanted.incarnation == own.incarnation:
            for sent, batch in enumerate(own.chunks(wanted.first)):
                if sent == CHUNKS_PER_ANSWER:
                    break
                step.send(event.source, batch, "facts")
        # Always last: it tells an asker of a dead incarnation whom it speaks to, and others whether to go on.
        step.send(event.source, Watermark(incarnation=own.incarnation, last=own.last), "facts")


class Update:
    """The paper's UpdateProtocol: others' facts into the replica, and word to the holders of own ends."""

    def __init__(
        self, settings: NetworkSettings, node: NodeId, replica: Replica, forwarding: Forwarding
    ) -> None:
        self._settings = settings
        self._node = node
        self._replica = replica
        self._forwarding = forwarding
        self._waiting = WaitingNews()
        self._questions = Questions(replica.streams, settings.timers.answer_ns)
        self._incarnations: dict[NodeId, int] = {}  # of peers, as the host told
        self._suspects: frozenset[NodeId] = frozenset()
        self._look_ns: int | None = None  # when awaited facts of the source are visible at the latest

    def on_events(self) -> Mapping[type, Handler]:
        """PeerChanged: the host's opinion about a peer."""
        return {PeerChanged: self._on_peer_changed}

    def on_messages(self) -> Mapping[type, Handler]:
        """Facts, digests, and word that the chain of an own end changed."""
        return {
            FactBatch: self._on_facts,
            Watermark: self._on_watermark,
            EndNews: self._on_news,
            GroupNews: self._on_group_news,
        }

    def on_notices(self) -> Mapping[type, Handler]:
        """ViewWanted is the paper's second GEM interface."""
        return {ViewWanted: self._on_view_wanted}

    def gives(self) -> frozenset[type]:
        """Views, word about own ends, and what a peer's change means."""
        return frozenset({ViewReady, EndChanged, EndDied, PeerRestarted, PeerLost})

    def deadline_ns(self) -> int | None:
        """Now, while own ends are still to be told about; else the next question or look at the source."""
        if self._replica.touched:
            return self._replica.now_ns
        deadline = self._questions.deadline_ns()
        look = self._look_ns
        return deadline if look is None or (deadline is not None and deadline < look) else look

    def on_deadline(self, step: Step) -> None:
        """Tell the rest, ask again, look again."""
        if self._look_ns is not None and step.now_ns >= self._look_ns:
            self._look_ns = None
        self._read(step)
        self._questions.repeat(step)

    def _read(self, step: Step) -> None:
        replica = self._replica
        replica.refresh(step.now_ns)
        self._deliver_news(step)
        if replica.touched:
            replica.tell(step)

    def _on_view_wanted(self, step: Step, notice: ViewWanted) -> None:
        self._read(step)
        if self._settings.centre is not None and notice.purpose.startswith(CENTRAL):
            return  # the centre is asked (bellwire.baselines.centre)
        view = ViewReady(
            purpose=notice.purpose,
            request=notice.request,
            view=self._replica.fold,
            as_of_ns=step.now_ns,
            suspects=self._suspects,
        )
        step.tell(view)

    def _on_facts(self, step: Step, event: Received) -> None:
        batch = event.message
        if not isinstance(batch, FactBatch):
            raise LocalMisuse(f"{type(batch).__name__} was routed to the handler of FactBatch")
        author = event.source
        replica = self._replica
        replica.check(author, batch.facts)
        replica.now_ns = step.now_ns
        replica.take(author, batch.incarnation, batch.first, batch.facts, batch.base)
        self._deliver_news(step)
        self._questions.heard(step, author, batch.incarnation, batch.first + len(batch.facts) - 1)
        replica.tell(step)

    def _on_watermark(self, step: Step, event: Received) -> None:
        mark = event.message
        if not isinstance(mark, Watermark):
            raise LocalMisuse(f"{type(mark).__name__} was routed to the handler of Watermark")
        if self._replica.source is None:
            self._questions.closed(step, event.source, mark.incarnation, mark.last)

    def _on_news(self, step: Step, event: Received) -> None:
        news = event.message
        if not isinstance(news, EndNews):
            raise LocalMisuse(f"{type(news).__name__} was routed to the handler of EndNews")
        self._read(step)
        if news.author == self._node or self._replica.streams.reached(
            news.author, news.incarnation, news.number
        ):
            self._pass_on(step, news)
            return
        self._waiting.keep(news)
        if self._replica.source is None:
            self._questions.heard(step, news.author, news.incarnation, news.number)
        else:
            visible_ns = step.now_ns + self._settings.delay_ns(news.author, self._node)
            self._look_ns = visible_ns if self._look_ns is None else min(self._look_ns, visible_ns)

    def _on_group_news(self, step: Step, event: Received) -> None:
        """The fold tells touched own ends; a fact that has not come yet is asked or looked for."""
        news = event.message
        if not isinstance(news, GroupNews):
            raise LocalMisuse(f"{type(news).__name__} was routed to the handler of GroupNews")
        self._read(step)
        if self._replica.streams.reached(event.source, news.incarnation, news.number):
            return
        if self._replica.source is None:
            self._questions.heard(step, event.source, news.incarnation, news.number)
        else:
            visible_ns = step.now_ns + self._settings.delay_ns(event.source, self._node)
            self._look_ns = visible_ns if self._look_ns is None else min(self._look_ns, visible_ns)

    def _deliver_news(self, step: Step) -> None:
        if self._waiting.news:
            for news in self._waiting.ripe(self._replica.streams):
                self._pass_on(step, news)

    def _pass_on(self, step: Step, news: EndNews) -> None:
        if self._replica.owns(news.end) and news.end in self._replica.fold.ends:
            return  # it is still here, and the fold of the fact has touched it
        onward = self._forwarding.onward(news)
        if onward is not None:
            step.send(onward[0], onward[1], "outcome")

    def _on_peer_changed(self, step: Step, event: PeerChanged) -> None:
        peer = event.peer
        self._suspects = self._suspects - {peer} if event.state == "up" else self._suspects | {peer}
        if event.state == "down":
            self._questions.drop(peer)
            step.tell(PeerLost(peer=peer))
            return
        incarnation = event.incarnation
        if event.state != "up" or incarnation is None:
            return
        known = self._incarnations.get(peer)
        if known is not None and incarnation < known:
            return  # an old opinion, overtaken by a newer one
        self._incarnations[peer] = incarnation
        if known is not None and incarnation > known:
            step.tell(PeerRestarted(peer=peer, incarnation=incarnation))
        if self._replica.source is None and self._settings.nodes[peer].memory is not None:
            self._questions.ask(step, peer, incarnation)  # a station owns no qubits and has no facts


class Gem:
    """Both parts of one node over one replica: what a NodeMachine builds.

    source: None when facts come as messages; a virtual host gives its logs.
    digests: off where nothing is lost.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        node: NodeId,
        source: FactSource | None = None,
        *,
        digests: bool = True,
    ) -> None:
        self.replica = Replica(settings, node, source)
        self.forwarding = Forwarding(node)
        self.broadcast = Broadcast(settings, node, self.replica, self.forwarding, digests=digests)
        self.update = Update(settings, node, self.replica, self.forwarding)
        self.parts: tuple[Part, ...] = (self.broadcast, self.update)
        self.flush = self.broadcast.flush
