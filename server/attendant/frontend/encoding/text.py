"""Calls with one result for each text or pair of texts: vectors, labels, ranks, filled masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from attendant.bundle import EmbeddingHead
from attendant.bundle.graph_io import (
    EMBEDDING,
    PICKED_LOGITS,
    PICKED_TOKENS,
    ROW_LOGITS,
    TOKEN_EMBEDDINGS,
    TOKEN_LOGITS,
)
from attendant.core.encoding import Arrays
from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.active_call import EncoderCall
from attendant.frontend.encoding.calls import (
    ClassifyCall,
    EmbedCall,
    Encoded,
    FillMaskCall,
    LogitsCall,
    RerankCall,
    TextItem,
)
from attendant.frontend.encoding.served import LONG_TEXT, ServedEncoder, check_some, is_long
from attendant.tasks.classification import Label, RankedDocument, ranked_documents, ranked_labels, relevance
from attendant.tasks.embeddings import Embedding, VectorForm, finish, row_vector
from attendant.tasks.frames import TokenRow
from attendant.tasks.masks import MAX_FILLS, FilledMask, check_filled_size
from attendant.tasks.text import Ints, Tokens
from attendant.tasks.vectors import Floats, check_top_k

T = TypeVar("T")

MANY_FILLS = 20
"""Tokens for masks from which on finding them leaves the event loop: each takes a decoding and a copy of its text."""


async def embed(encoder: ServedEncoder, active: EncoderCall, call: EmbedCall) -> Encoded[Embedding]:
    """One vector of each input, or one of each of its tokens."""
    check_some(call.inputs, "inputs")
    head = encoder.manifest.embedding
    assert head is not None, "the manifest has checked it"
    form = VectorForm.of(head, call.dimensions, call.normalize)
    if call.per_token and head.pooling is None:
        raise InvalidRequest("per_token", "is true; allowed: false, as this model gives one vector for each input only")
    prompt = _prompt(call, head)
    items, left = call.inputs, check_cut(call.truncate, call.truncate_left)
    num_skipped = 0 if head.include_prompt or not prompt else encoder.text.prompt_length(prompt)
    made = await active.prepare(
        lambda: encoder.text.item_rows(
            items, truncate=call.truncate, left=left, prompt=prompt, spans=call.per_token, most=call.max_tokens
        ),
        off_loop=is_long_input(items, prompt),
    )
    rows = [row for row, _, _ in made]
    if num_skipped and (index := next((i for i, row in enumerate(rows) if len(row) <= num_skipped), None)) is not None:
        raise InvalidRequest(f"inputs[{index}]", "has no tokens but the prompt's, which this model does not pool")

    def read(index: int, outputs: Arrays) -> Embedding:
        if head.pooling is None:
            return Embedding(form.finish(outputs[EMBEDDING.name]))
        vectors = outputs[TOKEN_EMBEDDINGS.name]  # [n, hidden] float32
        if not call.per_token:
            row = rows[index]
            # a cut at the begin takes the prompt's tokens first, and leaves the special ones before them
            kept = max(num_skipped - row.first.skipped, min(num_skipped, row.first.start))
            skipped = kept if items[index].token_ids is None else 0
            return Embedding(row_vector(vectors, head, encoder.project, form, skipped))
        row, first, second = made[index]
        # What a model was made to normalise is the pooled vector; those of tokens are, only if that is asked for.
        values = finish(vectors, call.dimensions, normalise=bool(call.normalize))
        spans = row_spans(row, first, second, len(prompt))
        return Embedding(token_values=values, token_ids=row.ids, token_spans=spans)

    results = await active.run(
        len(rows),
        lambda index: encoder.text.rows.arrays(rows[index]),
        read,
        read_off_loop=encoder.project is not None and not call.per_token,
    )
    return encoded(active, rows, results)


async def classify(encoder: ServedEncoder, active: EncoderCall, call: ClassifyCall) -> Encoded[tuple[Label, ...]]:
    """The labels of each input, best first."""
    check_some(call.inputs, "inputs")
    check_top_k(call.top_k)
    items, manifest, left = call.inputs, encoder.manifest, check_cut(call.truncate, call.truncate_left)
    made = await active.prepare(
        lambda: encoder.text.item_rows(items, truncate=call.truncate, left=left, most=call.max_tokens),
        off_loop=is_long_input(items),
    )
    rows = [row for row, _, _ in made]

    def read(index: int, outputs: Arrays) -> tuple[Label, ...]:
        return ranked_labels(
            outputs[ROW_LOGITS.name], manifest.labels, manifest.problem, top_k=call.top_k, raw=call.raw_scores
        )

    results = await active.run(len(rows), lambda index: encoder.text.rows.arrays(rows[index]), read)
    return encoded(active, rows, results)


async def rerank(encoder: ServedEncoder, active: EncoderCall, call: RerankCall) -> Encoded[RankedDocument]:
    """The documents, the one that fits best first; equals as in the request."""
    check_some(call.documents, "documents")
    check_top_k(call.top_k)
    text, documents, left = encoder.text, call.documents, check_cut(call.truncate, call.truncate_left)
    most = call.max_document_tokens
    if most is not None and most < 1:
        raise InvalidRequest("max_document_tokens", f"is {most}; allowed: at least 1")

    def make() -> list[TokenRow]:
        query, *others = text.tokenize([call.query, *documents], from_end=left)
        shown = others if most is None else [other.cut(most, left=left) for other in others]
        rows = [
            text.rows.pair(query, other, truncate=call.truncate, field=f"documents[{index}]", left=left)
            for index, other in enumerate(shown)
        ]
        return [
            row if each is whole else replace(row, truncated=True)
            for row, each, whole in zip(rows, shown, others, strict=True)
        ]

    rows = await active.prepare(make, off_loop=is_long([call.query, *documents]))

    def read(index: int, outputs: Arrays) -> float:
        return relevance(outputs[ROW_LOGITS.name], raw=call.raw_scores)

    scores = await active.run(len(rows), lambda index: text.rows.arrays(rows[index]), read)
    results = ranked_documents(np.array(scores), documents if call.return_documents else (), call.top_k)
    return encoded(active, rows, results)


async def fill_mask(encoder: ServedEncoder, active: EncoderCall, call: FillMaskCall) -> Encoded[tuple[FilledMask, ...]]:
    """The best tokens for each mask of each text."""
    check_some(call.texts, "texts")
    check_top_k(call.top_k, MAX_FILLS)
    text, filler = encoder.text, encoder.text.filler
    assert filler is not None, "the manifest has checked it"

    def make() -> list[tuple[Tokens, TokenRow, Ints]]:
        made = []
        for index, tokens in enumerate(text.tokenize(call.texts, spans=True)):
            row = text.rows.single(tokens, truncate=call.truncate, field=f"texts[{index}]")
            made.append((tokens, row, filler.masks(row, f"texts[{index}]")))
        return made

    made = await active.prepare(make, off_loop=is_long(call.texts))
    check_filled_size(call.top_k * sum(len(tokens.text) * len(masks) for tokens, _, masks in made))
    many = call.top_k * sum(len(masks) for _, _, masks in made) > MANY_FILLS

    def arrays(index: int) -> Arrays:
        _, row, masks = made[index]
        return {**text.rows.arrays(row), PICKED_TOKENS.logits_index.name: masks}

    def read(index: int, outputs: Arrays) -> tuple[FilledMask, ...]:
        tokens, row, masks = made[index]
        return filler.fill(tokens, row, masks, outputs[PICKED_LOGITS.name], call.top_k)

    results = await active.run(len(made), arrays, read, read_off_loop=many)
    return encoded(active, [row for _, row, _ in made], results)


def check_cut(truncate: bool, truncate_left: bool) -> bool:
    """Whether texts are cut at their begin. Raises InvalidRequest where they may not be cut at all."""
    if truncate_left and not truncate:
        raise InvalidRequest("truncate_left", "is true without truncate; allowed: beside truncate")
    return truncate_left


async def logits(encoder: ServedEncoder, active: EncoderCall, call: LogitsCall) -> Encoded[Floats]:
    """Of each row of given tokens, [num_labels] float32 or one of these for each token, or each mask."""
    check_some(call.inputs, "inputs")
    text, items = encoder.text, call.inputs
    made = await active.prepare(lambda: text.item_rows(items, truncate=call.truncate), off_loop=is_long_input(items))
    rows = [row for row, _, _ in made]
    masks = [text.filler.masks(row, f"inputs[{index}]") for index, row in enumerate(rows)] if text.filler else []
    name = {"classify_tokens": TOKEN_LOGITS, "answer": TOKEN_LOGITS, "fill_mask": PICKED_LOGITS}.get(
        call.task, ROW_LOGITS
    ).name

    def arrays(index: int) -> Arrays:
        picked = {PICKED_TOKENS.logits_index.name: masks[index]} if masks else {}
        return {**text.rows.arrays(rows[index]), **picked}

    results = await active.run(len(rows), arrays, lambda index, outputs: np.array(outputs[name], np.float32))
    return encoded(active, rows, results)


def encoded(active: EncoderCall, rows: Sequence[TokenRow], results: Sequence[T]) -> Encoded[T]:
    """The results of a call, of which each was made of one of ``rows``, and what it took."""
    num_truncated = sum(row.truncated for row in rows)
    return Encoded(results, active.usage(sum(map(len, rows)), num_truncated))


def is_long_input(items: Sequence[TextItem], prompt: str = "") -> bool:
    """Whether making their rows is for a thread; a token that is given counts as a character."""
    size = sum(len(prompt) + len(item.text) + len(item.pair) + _num_ids(item) for item in items)
    return size > LONG_TEXT


def _num_ids(item: TextItem) -> int:
    return 0 if item.token_ids is None else len(item.token_ids)


def _prompt(call: EmbedCall, head: EmbeddingHead) -> str:
    """What to put before each text of a call."""
    if call.no_prompt and call.prompt:
        raise InvalidRequest("no_prompt", f"is true beside prompt {call.prompt!r}; allowed: one of both")
    if call.no_prompt:
        return ""
    prompt = prompt_text(head, call.prompt)
    for index, item in enumerate(call.inputs):
        if call.prompt and item.token_ids is not None:
            raise InvalidRequest(f"inputs[{index}].token_ids", "cannot take a prompt; allowed: text")
    return prompt


def prompt_text(head: EmbeddingHead | None, name: str) -> str:
    """The prompt of this name of a model that embeds, or of another, which has none; an empty name means the model's
    default one, if it has one. Raises InvalidRequest."""
    prompts = head.prompts if head is not None else {}
    if not name:
        return prompts.get(head.default_prompt or "", "") if head is not None else ""
    if name not in prompts:
        listed = ", ".join(map(repr, prompts)) or "none, as this model has no prompts"
        raise InvalidRequest("prompt", f"is {name[:100]!r}; allowed: {listed}")
    return prompts[name]


def row_spans(row: TokenRow, first: Tokens | None, second: Tokens | None, num_prompt: int) -> Ints:
    """Where each token of a row stands in its text, [n, 2]; special tokens, the prompt's and given ones nowhere."""
    spans = np.zeros((len(row), 2), np.int64)
    if first is not None:
        spans[row.first.in_row] = np.maximum(first.spans[row.first.in_text] - num_prompt, 0)
    if second is not None:
        spans[row.second.in_row] = second.spans[row.second.in_text]
    return spans
