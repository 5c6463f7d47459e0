"""A row's logits and cache do not depend on who else is in the batch, nor on how its prompt was cut: bit for bit.

One test per architecture makes its three graphs once and holds every property over each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.bundles import make_llama
from tests.export.architectures import build
from tests.export.measure import Subject, cached, exact_batch, exact_chunks, run_chunks

PRECISIONS = ("fp32", "int8", "int4")
TOKENS = np.random.default_rng(5).integers(3, 300, (16, 200))


def decode_alone_equals_decode_in_a_batch(subject: Subject) -> bool:
    return all(exact_batch(subject.session(slots=16, threads=threads), TOKENS) for threads in (1, 2))


def chunked_prefill_equals_whole_prefill(subject: Subject) -> bool:
    session = subject.session(slots=2, max_length=128)
    return all(exact_chunks(session, TOKENS, length=length) for length in (18, 40, 66, 101))


def right_padded_prefill_in_a_batch_equals_prefill_alone(subject: Subject) -> bool:
    session = subject.session(slots=4)
    lengths, width = (3, 17, 9, 20), 20
    ends = [row * width + length - 1 for row, length in enumerate(lengths)]
    together = session.run(slice(0, 4), TOKENS[:4, :width], [0] * 4, lengths, ends)
    caches = [cached(session, row, length) for row, length in enumerate(lengths)]
    for row, length in enumerate(lengths):
        alone = session.run(slice(row, row + 1), TOKENS[row : row + 1, :length], [0], logits_index=[length - 1])
        if not np.array_equal(together[row], alone[0]):
            return False
        if not all(map(np.array_equal, cached(session, row, length), caches[row])):
            return False
    return True


def rows_of_any_length_in_one_run_equal_themselves_alone(subject: Subject) -> bool:
    """Prompts, pieces of prompts and decodes; their caches, too."""
    session = subject.session(slots=5)
    starts, lengths, width = (20, 0, 9, 31, 12), (1, 17, 8, 1, 20), 20
    tokens = np.stack(
        [
            np.resize(TOKENS[row, start : start + length], width)
            for row, (start, length) in enumerate(zip(starts, lengths, strict=True))
        ]
    )

    def begin() -> None:
        for row, start in enumerate(starts):
            if start:
                session.run(slice(row, row + 1), TOKENS[row : row + 1, :start], [0], logits_index=[])

    begin()
    alone = [
        session.run(slice(row, row + 1), tokens[row : row + 1, :length], [starts[row]], logits_index=[length - 1])[0]
        for row, length in enumerate(lengths)
    ]
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    caches = [cached(session, row, end) for row, end in enumerate(ends)]
    begin()
    index = [row * width + length - 1 for row, length in enumerate(lengths)]
    together = session.run(slice(0, 5), tokens, starts, lengths, index)
    return np.array_equal(together, np.stack(alone)) and all(
        all(map(np.array_equal, cached(session, row, end), caches[row])) for row, end in enumerate(ends)
    )


def which_logits_are_asked_for_changes_none_of_them(subject: Subject) -> bool:
    session = subject.session()
    every = session.run(slice(0, 1), TOKENS[:1, :12], [0])
    some = session.run(slice(0, 1), TOKENS[:1, :12], [0], logits_index=[11, 3])
    none = session.run(slice(0, 1), TOKENS[:1, :12], [0], logits_index=[])
    return np.array_equal(some, every[[11, 3]]) and none.shape == (0, every.shape[1])


def replayed_decode_equals_decode(subject: Subject) -> bool:
    """After preemption: the prompt in chunks, then the generated tokens one at a time, give the first run's bits."""
    session = subject.session(slots=2)
    session.run(slice(0, 1), TOKENS[:1, :20], [0], logits_index=[])
    run_chunks(session, 1, TOKENS[0], (8, 12))
    first, again = (
        [session.run(slice(slot, slot + 1), TOKENS[:1, [at]], [at]) for at in range(20, 26)] for slot in (0, 1)
    )
    return all(map(np.array_equal, first, again))


PROPERTIES: tuple[Callable[[Subject], bool], ...] = (
    decode_alone_equals_decode_in_a_batch,
    chunked_prefill_equals_whole_prefill,
    right_padded_prefill_in_a_batch_equals_prefill_alone,
    rows_of_any_length_in_one_run_equal_themselves_alone,
    which_logits_are_asked_for_changes_none_of_them,
    replayed_decode_equals_decode,
)


@pytest.mark.parametrize("name", ["llama", "llama/head20", "gpt2", "llama/tied", "qwen2", "gemma2", "phi3", "mixtral"])
def test_results_do_not_depend_on_the_batch(name: str, tmp_path: Path) -> None:
    plain = Subject(build(name), tmp_path)
    broken = []
    for precision in PRECISIONS:
        subject = plain.at(precision)
        broken += [f"{holds.__name__} in {precision}" for holds in PROPERTIES if not holds(subject)]
    assert broken == []


def test_a_layer_of_real_width_is_exact(tmp_path: Path) -> None:
    model = make_llama(
        hidden_size=768,
        num_hidden_layers=1,
        num_attention_heads=12,
        num_key_value_heads=4,
        intermediate_size=2048,
        vocab_size=1000,
        initializer_range=0.02,
    )
    plain = Subject(model, tmp_path)
    for precision in PRECISIONS:
        subject = plain.at(precision)
        assert exact_batch(subject.session(slots=16, threads=2), TOKENS), precision
        assert exact_chunks(subject.session(slots=2, max_length=200, threads=2), TOKENS, length=190), precision


def test_idle_threads_do_not_share_a_row(tmp_path: Path) -> None:
    """With fewer heads than threads, ONNX Runtime's flash path would cut a lone row among threads."""
    model = make_llama(num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=1024)
    session = Subject(model, tmp_path).session(slots=2, max_length=700, threads=4)
    tokens = np.random.default_rng(0).integers(3, 300, (2, 700))
    for row, length in enumerate((650, 30)):
        session.run(slice(row, row + 1), tokens[row : row + 1, :length], [0], logits_index=[])
    alone = session.run(slice(0, 1), tokens[:1, 650:651], [650])
    together = session.run(slice(0, 2), np.stack([tokens[0, 650:651], tokens[1, 30:31]]), [650, 30])
    assert np.array_equal(alone[0], together[0])
