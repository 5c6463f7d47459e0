"""Makes ``tekken.json`` and ``ids.json``: a part of a vocabulary of Mistral's, and what mistral-common makes of texts.

By hand, ``python -m tests.export.mistral.by_mistral_common``, where mistral_common (1.13.1) can be imported.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

PLACE = Path(__file__).parent
SPECIAL, TOKENS = 24, 700
TEXTS = (
    *(
        "Hello world",
        "  two spaces",
        "trailing  ",
        "\n\n\nlines\r\n\r\n",
        "\t\ttabs \t mixed",
        "123 4567 89,000.50 1e-5",
    ),
    *(
        "I'm you're WE'VE he'd it'll can't",
        "日本語のテキスト、漢字",
        "한국어",
        "🙂👩‍👩‍👧🇩🇪 👍🏽",
        "café ẛ̣",
        "Ünïcödé ß",
    ),
    *(
        "if (x==1) { return y[0]->z; }  // c\n    indent",
        "مرحبا بالعالم",
        "नमस्ते",
        "http://a.com/a?b=c&d=%20",
        " " * 20 + "x",
    ),
    *(
        "a" * 60,
        "AbcDEFghi JSONParser HTTPServer2",
        "the internation of the station in the end",
        "\u00a0\u3000\u200b\ufeff",
        "",
    ),
)


def main() -> None:
    package = Path(importlib.import_module("mistral_common").__file__).parent
    whole = json.loads((package / "data" / "tekken_240718.json").read_text())
    config = {**whole["config"], "default_vocab_size": SPECIAL + TOKENS, "default_num_special_tokens": SPECIAL}
    path = PLACE / "tekken.json"
    path.write_text(json.dumps({"config": config, "vocab": whole["vocab"][: TOKENS + 50]}))
    tokenizer = importlib.import_module("mistral_common.tokens.tokenizers.tekken").Tekkenizer.from_file(path)
    ids = {text: tokenizer.encode(text, bos=True, eos=False) for text in TEXTS}
    (PLACE / "ids.json").write_text(json.dumps(ids))


if __name__ == "__main__":
    main()
