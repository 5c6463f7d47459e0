"""Calls for sparse vectors: every token of a text asks the model for all words of its vocabulary."""

from __future__ import annotations

import numpy as np

from attendant.bundle.graph_io import PICKED_LOGITS, PICKED_TOKENS
from attendant.core.encoding import Arrays
from attendant.frontend.encoding.active_call import EncoderCall
from attendant.frontend.encoding.calls import EmbedSparseCall, Encoded
from attendant.frontend.encoding.served import ServedEncoder, check_some
from attendant.frontend.encoding.text import check_cut, encoded, is_long_input
from attendant.tasks.sparse import SparseEmbedding, sparse_vector

BATCH_NUMBERS = 64_000_000
"""Logits that a batch may have, about: a quarter of a gigabyte. A row of a large vocabulary counts for more tokens than
it has, so that fewer run together; nor has a call more of them in memory at once, unless one row alone has."""


async def embed_sparse(encoder: ServedEncoder, active: EncoderCall, call: EmbedSparseCall) -> Encoded[SparseEmbedding]:
    """One sparse vector of each input."""
    check_some(call.inputs, "inputs")
    text, items, left = encoder.text, call.inputs, check_cut(call.truncate, call.truncate_left)
    made = await active.prepare(
        lambda: text.item_rows(items, truncate=call.truncate, left=left), off_loop=is_long_input(items)
    )
    rows = [row for row, _, _ in made]
    limits = encoder.hub.model.limits
    active.weight = max(1, -(-limits.max_size * encoder.vocab_size // BATCH_NUMBERS))
    active.most_rows = max(1, BATCH_NUMBERS // (max(map(len, rows)) * encoder.vocab_size))

    def arrays(index: int) -> Arrays:
        row = rows[index]
        return {**text.rows.arrays(row), PICKED_TOKENS.logits_index.name: np.arange(len(row))}

    def read(index: int, outputs: Arrays) -> SparseEmbedding:
        return sparse_vector(outputs[PICKED_LOGITS.name])

    return encoded(active, rows, await active.run(len(rows), arrays, read))
