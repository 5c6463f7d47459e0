"""How what rooms note is called in a trace: OpenTelemetry's semantic conventions where they have a name, else ours.

Those of GenAI are of open-telemetry/semantic-conventions-genai 0.1.0, those of RPC and HTTP of semantic-conventions
1.41.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from attendant.core.stages import Value

PROVIDER = "attendant"
BAGGAGE = "baggage."

CONVENTIONS: Mapping[str, str] = {
    "operation": "gen_ai.operation.name",
    "requested_model": "gen_ai.request.model",
    "model": "gen_ai.response.model",
    "response_id": "gen_ai.response.id",
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "stop": "gen_ai.request.stop_sequences",
    "choices": "gen_ai.request.choice.count",
    "stream": "gen_ai.request.stream",
    "finish_reasons": "gen_ai.response.finish_reasons",
    "first_chunk_s": "gen_ai.response.time_to_first_chunk",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "http_method": "http.request.method",
    "http_route": "http.route",
    "path": "url.path",
    "scheme": "url.scheme",
    "http_version": "network.protocol.version",
    "user_agent": "user_agent.original",
}
"""By what rooms call it."""

MOST_SHOWN = 256
"""Characters of a word of callers: a name, an id, baggage. Texts have a setting."""

_TEXT_IN, _TEXT_OUT = "text_in", "text_out"


def span_name(name: str, attributes: Mapping[str, Value]) -> str:
    """What the span of a stage is called: a call on a model ``{operation} {model}``."""
    model = attributes.get("requested_model") or attributes.get("model")
    return f"{attributes['operation']} {_shown(model)}" if "operation" in attributes and model else name


def span_attributes(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Attributes of a stage as those of its span."""
    named = dict(_named(attributes))
    if "operation" in attributes:
        named["gen_ai.provider.name"] = PROVIDER
        if not attributes.get("requested_model") and "model" in attributes:  # whoever names none asks for this one
            named["gen_ai.request.model"] = _shown(attributes["model"])
    return named


def _named(attributes: Mapping[str, Value]) -> Iterator[tuple[str, Value]]:
    for key, value in attributes.items():
        if key == _TEXT_IN and isinstance(value, tuple):
            yield "gen_ai.input.messages", _messages(value)
        elif key == _TEXT_OUT and isinstance(value, tuple):
            yield "gen_ai.output.messages", _answers(value)
        elif key != "requested_model" or value:
            yield CONVENTIONS.get(key) or (key if key.startswith(BAGGAGE) else f"attendant.{key}"), _shown(value)


def _shown(value: Value) -> Value:
    """A value, of whose words a span has the beginning: a name of a model is what a caller says."""
    return f"{value[:MOST_SHOWN]}..." if isinstance(value, str) and len(value) > MOST_SHOWN else value


def _messages(words: tuple[str, ...]) -> str:
    pairs = zip(words[::2], words[1::2], strict=True)
    return json.dumps([{"role": role, "parts": [_part(text)]} for role, text in pairs], ensure_ascii=False)


def _answers(words: tuple[str, ...]) -> str:
    pairs = zip(words[::2], words[1::2], strict=True)
    return json.dumps(
        [{"role": "assistant", "parts": [_part(text)], "finish_reason": reason} for text, reason in pairs],
        ensure_ascii=False,
    )


def _part(text: str) -> Mapping[str, str]:
    return {"type": "text", "content": text}


def peer(client: str) -> dict[str, Value]:
    """Attributes of the other end of a connection, as gRPC (``ipv4:10.0.0.1:5000``) and HTTP (``10.0.0.1:5000``) say
    it."""
    kind, _, rest = client.partition(":")
    if kind == "unix":
        return {"network.peer.address": rest, "network.transport": "unix"}
    address, _, port = (rest if kind in ("ipv4", "ipv6") else client).rpartition(":")
    address = address.replace("%5B", "").replace("%5D", "").strip("[]")
    if not address or not port.isdecimal():
        return {}
    return {"network.peer.address": address, "network.peer.port": int(port), "network.transport": "tcp"}
