"""What an encoder-decoder's torch model makes of one source: logits of a given answer, and an answer of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from attendant.bundle import Seq2SeqRules

from attendant_export.seq2seq.encoder import Row

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def answer_logits(model: Any, audio: bool, row: Row, answer: Ints) -> Floats:
    """[length, vocab_size] of one source and answer [length] alone."""
    given = {_name(audio): torch.from_numpy(row)[None], "decoder_input_ids": torch.from_numpy(answer)[None]}
    with torch.no_grad():
        logits: Floats = model(**given, use_cache=False).logits[0].float().numpy()
    return logits


def greedy_answer(
    model: Any, audio: bool, row: Row, leading: Sequence[int], rules: Seq2SeqRules, max_tokens: int
) -> Ints:
    """The most probable token after the other, up to an end token, [n] int64 with the ``leading`` ones."""
    ends = model.generation_config.eos_token_id
    ends = set(ends) if isinstance(ends, list | tuple) else {ends}
    answer = list(leading)
    given = {_name(audio): torch.from_numpy(row)[None]}
    fed, past = answer, None
    with torch.no_grad():
        for step in range(max_tokens):
            output = model(**given, decoder_input_ids=torch.tensor([fed]), past_key_values=past, use_cache=True)
            past, logits = output.past_key_values, output.logits[0, -1]
            given = {"encoder_outputs": (output.encoder_last_hidden_state,)}
            logits[list(rules.suppressed if step else {*rules.suppressed, *rules.suppressed_first})] = -torch.inf
            answer.append(int(logits.argmax()))
            fed = answer[-1:]
            if answer[-1] in ends:
                break
    return np.array(answer, np.int64)


def _name(audio: bool) -> str:
    return "input_features" if audio else "input_ids"
