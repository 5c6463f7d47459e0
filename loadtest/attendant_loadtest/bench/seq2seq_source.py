"""``python -m attendant_loadtest.bench.seq2seq_source FOLDER``: a translator of opus-mt's shape with random weights.

A program of its own, so that the benchmark itself never loads torch. Beside the model's files it writes what
CTranslate2's converter reads: a token ``t<id>`` for each id.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

VOCABULARY, PAD, EOS, UNKNOWN = 58_101, 58_100, 0, 1


def write_source(folder: Path) -> None:
    """A model folder in the Hugging Face format: tokenizer, weights and, last, config.json."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.MarianConfig(
        vocab_size=VOCABULARY,
        d_model=512,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
        max_position_embeddings=512,
        activation_function="swish",
        scale_embedding=True,
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=None,
        decoder_start_token_id=PAD,
        forced_eos_token_id=None,
    )
    model = transformers.MarianMTModel(config)
    model.generation_config = transformers.GenerationConfig(
        pad_token_id=PAD, eos_token_id=EOS, decoder_start_token_id=PAD, bad_words_ids=[[PAD]], max_length=512
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer().to_str(), encoding="utf-8")
    words = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
    words |= {"eos_token": "t0", "unk_token": "t1", "pad_token": f"t{PAD}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(words), encoding="utf-8")
    model.save_pretrained(folder)


def tokenizer() -> Any:
    """Words ``t<id>``, whitespace between them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({f"t{i}": i for i in range(VOCABULARY)}, unk_token=f"t{UNKNOWN}"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="$A t0", special_tokens=[("t0", EOS)])
    made.add_special_tokens(["t0", f"t{UNKNOWN}", f"t{PAD}"])
    return made


if __name__ == "__main__":
    write_source(Path(sys.argv[1]))
