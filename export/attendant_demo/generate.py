"""Greedy answers, by transformers from a model folder and by ONNX Runtime from a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from attendant.bundle import TOKENIZER_FILE, read_manifest
from attendant_export.decoders.session import DecoderSession
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from attendant_demo.tokenizer import ASSISTANT, END, SYSTEM, USER

Messages = list[dict[str, str]]
Answerer = Callable[[Sequence[Messages]], list[str]]
_MAX_TOKENS = 128
_MARKS = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


def prompt(messages: Messages) -> str:
    """What the chat template makes of the messages."""
    said = "".join(f"{_MARKS[message['role']]}{message['content'].strip()}{END}" for message in messages)
    return said + ASSISTANT


def torch_answerer(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, batch_size: int = 32) -> Answerer:
    """Answers by ``generate``, prompts of like length together and padded on the left."""
    end = tokenizer.convert_tokens_to_ids(END)

    def answer(conversations: Sequence[Messages]) -> list[str]:
        model.eval()
        prompts = [tokenizer(prompt(messages), add_special_tokens=False).input_ids for messages in conversations]
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        answers = [""] * len(prompts)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            longest = max(len(prompts[row]) for row in rows)
            ids = torch.tensor([[end] * (longest - len(prompts[row])) + prompts[row] for row in rows])
            mask = torch.tensor(
                [[0] * (longest - len(prompts[row])) + [1] * len(prompts[row]) for row in rows]
            )  # [num_rows, longest] int64
            tokens = model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=_MAX_TOKENS, do_sample=False, use_cache=True
            )
            for row, made in zip(rows, tokens[:, longest:].tolist(), strict=True):
                answers[row] = str(tokenizer.decode(made[: made.index(end)] if end in made else made))
        return answers

    return answer


def bundle_answerer(bundle: Path, threads: int = 0) -> Answerer:
    """Answers of an exported bundle through ONNX Runtime, one conversation at a time."""
    manifest = read_manifest(bundle)
    graph = manifest.graphs["decoder"]
    tokenizer = Tokenizer.from_file(str(bundle / TOKENIZER_FILE))
    session = DecoderSession(
        bundle / graph.file, graph, manifest.kv_layers, slots=1, max_length=manifest.context_length, threads=threads
    )

    def one(messages: Messages) -> str:
        tokens = tokenizer.encode(prompt(messages), add_special_tokens=False).ids
        made: list[int] = []
        start = 0
        while len(made) < _MAX_TOKENS and start + len(tokens) <= manifest.context_length:
            logits = session.run(slice(0, 1), np.array([tokens]), [start], logits_index=[len(tokens) - 1])
            start += len(tokens)
            tokens = [int(logits[0].argmax())]
            if tokens[0] in manifest.special_tokens.eos:
                break
            made += tokens
        return str(tokenizer.decode(made))

    return lambda conversations: [one(messages) for messages in conversations]
