"""``python -m attendant_loadtest.bench.encoders_source MODEL FOLDER``: an encoder of a known shape with random weights.

A program of its own, so that the benchmark itself never loads torch.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = 30522
SHAPES: dict[str, dict[str, int]] = {
    "bert-base": {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072},
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536},
}
CLASSES = {"bert-base": "BertForSequenceClassification", "minilm": "BertModel"}


def write_source(model: str, folder: Path) -> None:
    """A model folder in the Hugging Face format: tokenizer, weights and, last, config.json."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=VOCABULARY, num_attention_heads=12, **SHAPES[model])
    made = getattr(transformers, CLASSES[model])(config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer().to_str(), encoding="utf-8")
    words = {"tokenizer_class": "BertTokenizerFast", "model_max_length": config.max_position_embeddings}
    words |= {f"{name.strip('[]').lower()}_token": name for name in SPECIAL}
    (folder / "tokenizer_config.json").write_text(json.dumps(words), encoding="utf-8")
    made.save_pretrained(folder)


def tokenizer() -> Any:
    """BERT's kind: lower case, words, word pieces. Its words are made up: three syllables each, and a fourth, if there
    is one, is a piece of its own."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    syllables = ["".join(pair) for pair in itertools.product("bcdfghjklmnprstvwz", "aeiou")]
    letters = [*"abcdefghijklmnopqrstuvwxyz", *".,;:!?'0123456789"]
    pieces = [f"##{piece}" for piece in (*letters, *syllables)]
    words = map("".join, itertools.product(syllables, repeat=3))
    tokens = itertools.islice(itertools.chain(SPECIAL, letters, pieces, words), VOCABULARY)
    made = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", SPECIAL.index("[CLS]")), ("[SEP]", SPECIAL.index("[SEP]"))],
    )
    made.add_special_tokens(list(SPECIAL))
    return made


if __name__ == "__main__":
    write_source(sys.argv[1], Path(sys.argv[2]))
