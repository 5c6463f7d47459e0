"""Trains the translator, an encoder-decoder of Marian's shape (Vaswani et al. 2017, "Attention Is All You Need")."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor
from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

from attendant_demo.training import Optimiser, like_lengths
from attendant_demo.translator.composer import Example
from attendant_demo.translator.vocabulary import MAX_LENGTH

_IGNORED = -100
_STEP = 4  # of lengths: few, because each new shape costs the CPU kernels a set-up


@dataclass(frozen=True)
class TrainSettings:
    """What the run depends on.

    Every example is seen once; ``num_polish`` more in a second phase. ``batch_tokens`` counts both languages and
    padding. ``bfloat16`` multiplies matrices in bfloat16, which is twice as fast on a CPU that has it; the weights stay
    float32.
    """

    seed: int = 3
    num_threads: int = 1
    num_examples: int = 200_000
    num_polish: int = 70_000
    batch_tokens: int = 3072
    vocab_size: int = 2400
    hidden_size: int = 160
    intermediate_size: int = 480
    num_layers: int = 3
    num_heads: int = 5
    learning_rate: float = 2e-3
    warmup_steps: int = 250
    weight_decay: float = 0.01
    bfloat16: bool = True

    def polish(self) -> TrainSettings:
        """The settings of the second phase, which starts anew at half the learning rate: it halves the mistakes."""
        return replace(self, learning_rate=self.learning_rate / 2, warmup_steps=self.warmup_steps // 5)


@dataclass(frozen=True)
class Batch:
    """Token ids padded on the right, of the source [num_rows, source] and the target [num_rows, target], int64; padding
    is -100 in the target."""

    source: Tensor
    mask: Tensor
    target: Tensor


def build_model(settings: TrainSettings, tokenizer: PreTrainedTokenizerFast) -> MarianMTModel:
    """The untrained model, the same for the same seed."""
    torch.manual_seed(settings.seed)
    end, pad = tokenizer.convert_tokens_to_ids([tokenizer.eos_token, tokenizer.pad_token])
    config = MarianConfig(
        vocab_size=len(tokenizer),
        decoder_vocab_size=len(tokenizer),
        d_model=settings.hidden_size,
        encoder_layers=settings.num_layers,
        decoder_layers=settings.num_layers,
        encoder_attention_heads=settings.num_heads,
        decoder_attention_heads=settings.num_heads,
        encoder_ffn_dim=settings.intermediate_size,
        decoder_ffn_dim=settings.intermediate_size,
        max_position_embeddings=MAX_LENGTH,
        activation_function="relu",
        scale_embedding=True,
        dropout=0.0,
        init_std=settings.hidden_size**-0.5,
        pad_token_id=pad,
        eos_token_id=end,
        forced_eos_token_id=None,
        decoder_start_token_id=pad,
    )
    model = MarianMTModel(config)
    model.generation_config.update(
        num_beams=1, max_length=MAX_LENGTH, bad_words_ids=[[pad]], forced_eos_token_id=None, do_sample=False
    )
    return model


def batches(
    examples: Iterable[Example], tokenizer: PreTrainedTokenizerFast, settings: TrainSettings, rng: random.Random
) -> Iterator[Batch]:
    """All examples once, in random order, rows of like length together."""
    waiting, pad = iter(examples), int(tokenizer.pad_token_id)
    while some := list(islice(waiting, 8192)):
        sources, targets = (
            [encoding.ids[:MAX_LENGTH] for encoding in tokenizer.backend_tokenizer.encode_batch(texts)]
            for texts in ([example.english for example in some], [example.french for example in some])
        )
        lengths = [2 * max(len(source), len(target)) for source, target in zip(sources, targets, strict=True)]
        for group in like_lengths(lengths, settings.batch_tokens, rng):
            source = _padded([sources[index] for index in group], pad)
            target = _padded([targets[index] for index in group], _IGNORED)
            yield Batch(source, (source != pad).long(), target)


def _padded(rows: list[list[int]], pad: int) -> Tensor:
    length = -(-max(map(len, rows)) // _STEP) * _STEP
    return torch.tensor([row + [pad] * (length - len(row)) for row in rows])


def train(
    model: MarianMTModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: list[Example],
    settings: TrainSettings,
    progress: Callable[[str], None] = print,
) -> list[float]:
    """Train in place; the loss of each step, in nats per token, is returned."""
    torch.set_num_threads(settings.num_threads)
    steps = list(batches(examples, tokenizer, settings, random.Random(settings.seed)))
    optimiser = Optimiser(
        model,
        len(steps),
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        progress=progress,
    )
    model.train()
    for batch in steps:
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
            loss = model(input_ids=batch.source, attention_mask=batch.mask, labels=batch.target).loss
        optimiser.step(loss, batch.source.numel() + batch.target.numel())
    return optimiser.losses
