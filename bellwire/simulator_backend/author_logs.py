"""Published facts in virtual time: a queue for every pair of author and reader, read as far as it is visible.

Owns who reads whom, and about which requests. Refuses one event per fact per node: a fact is queued for those
whom it concerns, and nobody is woken; who does not read does not fold (architecture.md section 4, ADR 0006
and 0015).
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from bellwire.core.facts import Fact
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.messages import FactBatch
from bellwire.core.settings import NetworkSettings
from bellwire.gem.audiences import Audience, Audiences

VisibleFacts = tuple[NodeId, int, int, tuple[Fact, ...]]
"""Author, incarnation, number of the first fact, facts."""

Published = tuple[int, VisibleFacts]
"""When, and what."""


class AuthorLogs:
    """What all authors publish, on its way to those whom it concerns."""

    def __init__(
        self,
        network: NetworkSettings,
        *,
        forgetting: bool,
        stores: Mapping[RequestId, frozenset[NodeId]] | None = None,
    ) -> None:
        """`forgetting`: a reader gets facts of requests that it serves, from when it follows their author.
        Off where nodes crash: there it gets everything, and after a restart all of it again, as on the live
        bus. `stores`: requests for pairs in store, with the nodes that make them: whoever follows one of
        these gets all its facts about them, from the beginning, for any request may take such a pair."""
        self._delays = network.delays_ns
        self._audiences = Audiences()
        self._history: dict[NodeId, list[Published]] | None = None if forgetting else defaultdict(list)
        self._followers: dict[NodeId, list[Place]] = {node: [] for node in network.nodes}
        self._serving: dict[tuple[NodeId, Audience], list[Place]] = {}  # those of an author, by request
        self._served: set[Audience] = set()  # requests that anybody serves
        self._stores = {} if stores is None or not forgetting else dict(stores)
        makers = frozenset[NodeId]().union(*self._stores.values())
        self._of_stores: dict[NodeId, list[Published]] = {author: [] for author in makers}
        self.facts = 0

    def publish(self, author: NodeId, batch: FactBatch, now_ns: int) -> None:
        """Queue a batch for those whom it concerns; nobody is told."""
        facts = batch.facts
        self.facts += len(facts)
        published = (now_ns, (author, batch.incarnation, batch.first, facts))
        concerned: Sequence[Place] = self._followers[author]
        if self._history is not None:
            self._history[author].append(published)
        else:
            audience = self._audiences.of_batch(facts)
            if author in self._of_stores and (audience is None or audience in self._stores):
                self._of_stores[author].append(published)
            if audience in self._served and audience not in self._stores:
                concerned = self._serving.get((author, audience), ())
        for place in concerned:
            place.queue.append(published)
            place.news[place.order] = place

    def reader(self, observer: NodeId) -> "FactReader":
        """The queues of one observer, who reads nobody yet."""
        return FactReader(self, observer)

    def subscribe(self, place: "Place", author: NodeId, requests: set[RequestId]) -> None:
        """A reader follows this author from now on, or from the beginning where everything is kept."""
        earlier = self._of_stores.get(author) if self._history is None else self._history[author]
        if earlier:
            place.queue.extend(earlier)
            place.news[place.order] = place
        self._followers[author].append(place)
        for request in requests:
            self.serve(place, author, request)

    def serve(self, place: "Place", author: NodeId, request: RequestId) -> None:
        """Facts of this author about this request concern the reader of this place; others may skip them."""
        self._serving.setdefault((author, request), []).append(place)
        self._served.add(request)

    def leave(self, reader: "FactReader") -> None:
        """The reader is gone: nothing is queued for it any more."""
        gone = {id(place) for place in reader.places.values()}
        for places in (*self._followers.values(), *self._serving.values()):
            places[:] = [place for place in places if id(place) not in gone]

    def delay_ns(self, author: NodeId, observer: NodeId) -> int:
        """How long a fact takes."""
        return self._delays[author][observer]


class FactReader:
    """One observer's view of the authors whom it follows; satisfies the GEM's FactSource."""

    def __init__(self, logs: AuthorLogs, observer: NodeId) -> None:
        self._logs = logs
        self._observer = observer
        self._requests: set[RequestId] = set()
        self._news: dict[int, Place] = {}  # places with something queued, by their order
        self.places: dict[NodeId, Place] = {}
        self.read = 0

    def serve(self, request: RequestId) -> None:
        """Facts of this request concern the observer from now on."""
        if request not in self._requests:
            self._requests.add(request)
            for author, place in self.places.items():
                self._logs.serve(place, author, request)

    def follow(self, author: NodeId) -> None:
        """Read this author from now on."""
        if author == self._observer or author in self.places:
            return
        place = Place(self._logs.delay_ns(author, self._observer), len(self.places), self._news)
        self.places[author] = place
        self._logs.subscribe(place, author, self._requests)

    def visible(self, now_ns: int) -> list[VisibleFacts]:
        """What has reached the observer by now and was not read before, by authors as they were followed."""
        found: list[VisibleFacts] = []
        news = self._news
        for order in sorted(news):
            place = news[order]
            queue, horizon_ns = place.queue, now_ns - place.delay_ns
            while queue and queue[0][0] <= horizon_ns:
                found.append(queue.popleft()[1])
            if not queue:
                del news[order]
        self.read += len(found)
        return found


class Place:
    """Where the facts of one author wait for one observer."""

    __slots__ = ("delay_ns", "news", "order", "queue")

    def __init__(self, delay_ns: int, order: int, news: "dict[int, Place]") -> None:
        """order: of this author among those whom the observer follows. news: of the observer."""
        self.delay_ns = delay_ns
        self.order = order
        self.news = news
        self.queue: deque[Published] = deque()
