"""What a model can do, as bundles, lookups and callers name it."""

from __future__ import annotations

from typing import Literal

EncoderTask = Literal[
    "classify",
    "classify_tokens",
    "answer",
    "embed",
    "rerank",
    "fill_mask",
    "classify_image",
    "embed_image",
    "classify_audio",
    "transcribe",
]
"""One call of the service Encoding each."""

GeneratorCapability = Literal["generate", "continue", "translate", "speech"]
"""``generate``: takes calls of the service Generation; ``continue``: its answer continues the prompt; ``translate``: it
reads a text as a source and writes another; ``speech``: it writes what it hears, for the service Speech."""

ExplainCapability = Literal["attention"]
"""``attention``: calls of the service Explain see what it looks at."""

Capability = GeneratorCapability | EncoderTask | ExplainCapability
