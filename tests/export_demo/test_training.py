"""The tokenizer, and a training run of a few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from attendant_demo.dialogues import Composer
from attendant_demo.generate import prompt, torch_answerer
from attendant_demo.tokenizer import SPECIAL_TOKENS, pieces, train_tokenizer
from attendant_demo.train import TrainSettings, build_model, encode, train
from transformers import AutoModelForCausalLM, AutoTokenizer

SETTINGS = TrainSettings(
    num_dialogues=600,
    batch_tokens=1024,
    vocab_size=600,
    hidden_size=64,
    intermediate_size=128,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    learning_rate=2e-3,
    warmup_steps=5,
    bfloat16=False,
)


@pytest.fixture(scope="module")
def dialogues() -> Any:
    return list(Composer("train", SETTINGS.seed).dialogues(SETTINGS.num_dialogues))


@pytest.fixture(scope="module")
def tokenizer(dialogues: Any) -> Any:
    return train_tokenizer(dialogues, SETTINGS.vocab_size)


@pytest.mark.parametrize("text", ["Where is order #48213?", "  two  spaces\n", "naïve Ω 漢字 🙂", "it's AB-12"])
def test_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_digits_and_special_tokens_are_single_tokens(tokenizer: Any) -> None:
    tokens = tokenizer.tokenize("order 48213")
    assert tokens[-5:] == list("48213")
    for special in SPECIAL_TOKENS:
        assert len(tokenizer.encode(special, add_special_tokens=False)) == 1


def test_training_text_is_what_the_chat_template_makes(tokenizer: Any, dialogues: Any) -> None:
    chats = [dialogue for dialogue in dialogues if dialogue.style == "chat"]
    assert any(dialogue.system for dialogue in chats)
    for dialogue in chats[:100]:
        messages = dialogue.messages()
        written = "".join(piece.text for piece in pieces(dialogue, 0.1))
        assert written == tokenizer.apply_chat_template(messages, tokenize=False)
        asked = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        assert prompt(messages[:-1]) == asked
        ids = next(encode(tokenizer, [dialogue], 0.1)).ids
        assert ids == tokenizer.encode(written, add_special_tokens=False)


def test_weights_fall_on_answers(tokenizer: Any, dialogues: Any) -> None:
    for example in encode(tokenizer, [d for d in dialogues if d.style == "chat"][:20], 0.0):
        counted = tokenizer.decode([i for i, w in zip(example.ids, example.weights, strict=True) if w])
        assert "<|user|>" not in counted
        assert counted.endswith("<|end|>")


def test_a_short_run_lowers_the_loss_and_saves_a_folder(tokenizer: Any, dialogues: Any, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        examples = list(encode(tokenizer, dialogues, SETTINGS.question_weight))
        model = build_model(SETTINGS, tokenizer)
        losses = train(model, [examples], replace(SETTINGS, num_threads=threads), lambda line: None)
        assert losses[0] > 5
        assert sum(losses[-5:]) / 5 < losses[0] - 1.5
        again = train(build_model(SETTINGS, tokenizer), [examples[:60]], SETTINGS, lambda line: None)
        assert again == train(build_model(SETTINGS, tokenizer), [examples[:60]], SETTINGS, lambda line: None)
    finally:
        torch.set_num_threads(threads)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, reader = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert reader.chat_template == tokenizer.chat_template
    assert loaded.generation_config.max_new_tokens == 160
    assert loaded.generation_config.eos_token_id == reader.eos_token_id
    ask = [[{"role": "user", "content": "hello"}], [{"role": "user", "content": "where is my order 123?"}]]
    assert torch_answerer(loaded, reader)(ask) == torch_answerer(model, tokenizer)(ask)
