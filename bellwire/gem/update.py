"""The paper's UpdateProtocol at one node: what others publish, and answers (stack paper, appendix G).

Takes in others' facts, tells the holders of own ends that were touched, and answers views. Owns the GEM's
words about others' facts. Refuses the meaning of facts (`fold.py`) and choices about qubits.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from bellwire.core.errors import LocalMisuse
from bellwire.core.events import PeerChanged, Received
from bellwire.core.ids import NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import (
    EndNews,
    FactBatch,
    GroupNews,
    Watermark,
)
from bellwire.core.notices import (
    CENTRAL,
    EndChanged,
    EndDied,
    PeerLost,
    PeerRestarted,
    ViewReady,
    ViewWanted,
)
from bellwire.core.settings import NetworkSettings
from bellwire.gem.news import Forwarding, WaitingNews
from bellwire.gem.publishing import Publishing
from bellwire.gem.questions import Questions
from bellwire.gem.replica import Replica


class Update:
    """The paper's UpdateProtocol: others' facts into the replica, and word to the holders of own ends."""

    def __init__(
        self,
        settings: NetworkSettings,
        node: NodeId,
        replica: Replica,
        forwarding: Forwarding,
        publishing: Publishing,
    ) -> None:
        self._settings = settings
        self._node = node
        self._replica = replica
        self._forwarding = forwarding
        self._publishing = publishing
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
            if not news.number and news.author != self._node and self._replica.source is None:
                self._questions.ask(step, news.author, news.incarnation)  # if it is news is not told
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
            owner, word = onward
            number = self._publishing.onward(word.number)
            step.send(owner, word if number == word.number else replace(word, number=number), "outcome")

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
        if self._replica.source is None and (
            self._publishing.hears(peer) or self._replica.streams.incarnation(peer) is not None
        ):
            self._questions.ask(step, peer, incarnation)
