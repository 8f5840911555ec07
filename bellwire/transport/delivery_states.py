"""What may happen to a pair on its way to the two applications: one table for the head, one for the tail.

Owns the rows (architecture.md section 6). A row that keeps its state is a message heard twice or late, which
lossy channels make normal; a combination without a row is a fault of ours or, for messages, of the peer.
Keyed by the head's end, so that both sides speak of one thing; `gone` means forgotten.
"""

from typing import Final

from bellwire.transport.transitions import Rows

HEAD_ROWS: Final[Rows] = {
    # a pair of this request reaches from here to the destination
    ("absent", "seen_to_keep"): "offered",
    ("absent", "seen_to_measure"): "measuring",
    ("absent", "restored"): "committed",
    ("measuring", "measured"): "offered",
    ("measuring", "measured_unwanted"): "gone",
    ("measuring", "measure_failed"): "gone",
    ("measuring", "memory_lost"): "gone",
    # the tail's word
    ("offered", "accepted"): "answered",
    ("offered", "refused"): "gone",
    ("offered", "not_yet"): "offered",
    ("offered", "inquiry"): "offered",
    ("offered", "found_dead"): "gone",
    ("offered", "expired"): "gone",
    ("offered", "withdrawn"): "gone",
    ("offered", "memory_lost"): "gone",
    # both agree on the frame, or not
    ("answered", "agreed"): "recording",
    ("answered", "disagreed"): "gone",
    ("answered", "expired"): "gone",
    ("answered", "withdrawn"): "gone",
    ("answered", "memory_lost"): "gone",
    # the commit point is the record on stable storage
    ("recording", "memory_lost"): "recording",
    ("recording", "persisted"): "committed",
    ("committed", "settled"): "settled",
    ("committed", "settled_void"): "void",
    ("committed", "settled_too_early"): "committed",  # for a commit that has become void since
    ("settled", "settled_void"): "void",
    # heard twice or late
    ("absent", "accepted"): "absent",
    ("absent", "refused"): "absent",
    ("absent", "not_yet"): "absent",
    ("absent", "inquiry"): "absent",  # answered: aborted
    ("answered", "accepted"): "answered",
    ("answered", "refused"): "answered",
    ("answered", "not_yet"): "answered",
    ("answered", "inquiry"): "answered",
    ("recording", "accepted"): "recording",
    ("recording", "refused"): "recording",
    ("recording", "not_yet"): "recording",
    ("recording", "inquiry"): "recording",
    ("committed", "accepted"): "committed",
    ("committed", "refused"): "committed",
    ("committed", "not_yet"): "committed",
    ("committed", "inquiry"): "committed",  # answered: the commit
    ("settled", "accepted"): "settled",
    ("settled", "refused"): "settled",
    ("settled", "not_yet"): "settled",
    ("settled", "inquiry"): "settled",
    ("settled", "settled"): "settled",
    ("void", "accepted"): "void",
    ("void", "refused"): "void",
    ("void", "not_yet"): "void",
    ("void", "inquiry"): "void",
    ("void", "settled"): "void",
    ("void", "settled_void"): "void",
}

TAIL_ROWS: Final[Rows] = {
    # offered before the own ledger shows the pair
    ("absent", "offer"): "asked",
    ("asked", "offer"): "asked",
    ("asked", "refused"): "gone",
    ("asked", "aborted"): "gone",
    ("asked", "commit"): "recording",  # void: this life never accepted it
    # kept
    ("asked", "shown"): "accepted",
    ("asked", "shown_with_frame"): "correcting",
    ("correcting", "offer"): "correcting",
    ("correcting", "aborted"): "correcting",
    ("correcting", "corrected"): "accepted",
    ("correcting", "corrected_unwanted"): "gone",
    ("correcting", "correction_failed"): "gone",
    ("correcting", "memory_lost"): "gone",
    # measured
    ("absent", "seen"): "measuring",
    ("asked", "seen"): "measuring",
    ("measuring", "offer"): "measuring",
    ("measuring", "aborted"): "measuring",
    ("measuring", "measured"): "measured",
    ("measuring", "measured_for_offer"): "accepted",
    ("measuring", "measure_failed"): "gone",
    ("measuring", "memory_lost"): "gone",
    ("measured", "offer"): "accepted",
    ("measured", "aborted"): "gone",
    ("measured", "expired"): "gone",
    # in doubt until the head speaks
    ("accepted", "offer"): "accepted",
    ("accepted", "commit"): "recording",
    ("accepted", "aborted"): "gone",
    ("accepted", "expired"): "gone",
    ("accepted", "memory_lost"): "gone",
    # the record
    ("absent", "commit"): "recording",  # void: nothing is known of this end
    ("recording", "commit"): "recording",
    ("recording", "memory_lost"): "recording",
    ("recording", "persisted"): "settled",
    ("recording", "persisted_void"): "void",
    ("settled", "commit_void"): "recording",
    # heard twice or late
    ("absent", "aborted"): "absent",
    ("recording", "offer"): "recording",
    ("recording", "aborted"): "recording",
    ("settled", "offer"): "settled",
    ("settled", "commit"): "settled",
    ("settled", "aborted"): "settled",
    ("void", "offer"): "void",
    ("void", "commit"): "void",
    ("void", "aborted"): "void",
}
