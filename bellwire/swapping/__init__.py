"""The swapping and fusion layer of the stack: joins the pairs that the links produce.

Owns swap policies, the handlers of swap outcomes (correction, acknowledgement, failure), purification
between distant ends and fusion. Refuses to plan, to keep a ledger of its own and to touch instruments.
"""
