"""The demo model's tokenizer: byte-level BPE, each digit a token, and a chat template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from attendant_demo.dialogues import Dialogue

SYSTEM, USER, ASSISTANT, END = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
SPECIAL_TOKENS = (END, SYSTEM, USER, ASSISTANT)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}<|system|>{% elif message['role'] == 'assistant' %}<|assistant|>"
    "{% else %}<|user|>{% endif %}"
    "{{ message['content'] | trim }}<|end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Piece:
    """A stretch of a written dialogue and the weight of its tokens in the loss."""

    text: str
    weight: float


def pieces(dialogue: Dialogue, question_weight: float) -> list[Piece]:
    """The dialogue as text. Answers weigh 1; all of plain prose does."""
    if dialogue.style == "chat":
        parts = [Piece(f"{SYSTEM}{dialogue.system}{END}", question_weight)] if dialogue.system else []
        for turn in dialogue.turns:
            parts += [
                Piece(f"{USER}{turn.question}{END}{ASSISTANT}", question_weight),
                Piece(f"{turn.answer}{END}", 1.0),
            ]
        return parts
    first = dialogue.turns[0]
    if dialogue.style == "lines":
        return [Piece(first.question, question_weight), Piece(f"\n{first.answer}{END}", 1.0)]
    if dialogue.style == "prose":
        return [Piece(f"{first.answer}{END}", 1.0)]
    parts = []
    for turn in dialogue.turns:
        between = "\n" if parts else ""
        parts += [Piece(f"{between}Customer: {turn.question}\nAgent:", question_weight), Piece(f" {turn.answer}", 1.0)]
    return [*parts, Piece(END, 1.0)]


def train_tokenizer(dialogues: Iterable[Dialogue], vocab_size: int) -> PreTrainedTokenizerFast:
    """Learn the vocabulary from the dialogues."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (text for dialogue in dialogues for turn in dialogue.turns for text in (turn.question, turn.answer))
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        extra_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
