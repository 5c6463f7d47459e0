"""Where the wire has a field that the front end and the core call by its own name: one table for each service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attendant_proto.tei import tei_pb2
from attendant_proto.v1 import explain_pb2, generation_pb2, models_pb2, speech_pb2
from attendant_proto.vllm import engine_pb2

from attendant.core.errors import AttendantError, InvalidRequest

Paths = Mapping[str, str]


def _paths(message: Any, *nested: str, before: str = "") -> dict[str, str]:
    """The paths of the fields inside the fields ``nested`` of a message, by their own names."""
    fields = message.DESCRIPTOR.fields_by_name
    return {
        field.name: f"{before}{outer}.{field.name}" for outer in nested for field in fields[outer].message_type.fields
    }


_GENERATION = _paths(generation_pb2.GenerateRequest, "sampling", "stopping", "beam_search", "translation", "chat")
_SPEECH = {
    **_paths(speech_pb2.SpeechOptions, "sampling", "beam_search", before="options."),
    **_paths(speech_pb2.SpeechRequest, "options", "raw"),
}
_EXPLAIN = _paths(explain_pb2.AttentionRequest, "subject")
_EXPLAIN |= {name: f"subject.translation.{name}" for name in ("source_language", "target_language")}
_EXPLAIN |= _paths(explain_pb2.Subject, "chat", before="subject.")
_VLLM = _paths(engine_pb2.GenerateRequest, "sampling_params")
_VLLM |= dict.fromkeys(("token_ids", "inputs"), "tokenized.input_ids")
_VLLM |= {f"grammar.{kind}": f"sampling_params.{kind}" for kind in ("json_schema", "regex", "json_object", "choice")}
_VLLM |= {f"grammar.{kind}": "sampling_params.grammar" for kind in ("lark", "gbnf")}
_TEI = {"prompt": "prompt_name", "token_ids": "ids"}
_TEI_BY_SERVICE: dict[str, dict[str, str]] = {
    "Embed": {"inputs[0]": "inputs"},  # the one text that a request has
    "Predict": {"inputs[0]": "inputs"},
    "Tokenize": {"text": "inputs"},
    "Rerank": {"documents": "texts"},
}
PATHS: Mapping[str, Paths] = {
    explain_pb2.DESCRIPTOR.services_by_name["Explain"].full_name: _EXPLAIN,
    generation_pb2.DESCRIPTOR.services_by_name["Generation"].full_name: _GENERATION,
    models_pb2.DESCRIPTOR.services_by_name["Tokenizer"].full_name: _GENERATION,
    speech_pb2.DESCRIPTOR.services_by_name["Speech"].full_name: _SPEECH,
    engine_pb2.DESCRIPTOR.services_by_name["VllmEngine"].full_name: _VLLM,
    **{
        service.full_name: _TEI | _TEI_BY_SERVICE.get(name, {})
        for name, service in tei_pb2.DESCRIPTOR.services_by_name.items()
    },
}
"""By service and own name, with an index or without. Fields that are not here have the same name on the wire."""


def on_wire(error: AttendantError, service: str) -> AttendantError:
    """The error as the callers of ``service`` know its field."""
    if not isinstance(error, InvalidRequest):
        return error
    paths = PATHS.get(service, {})
    if error.field in paths:
        return error.renamed(paths[error.field])
    found = re.match(r"\w+", error.field)
    own = found[0] if found is not None else ""
    path = paths.get(own)
    return error if path is None else error.renamed(path + error.field[len(own) :])
