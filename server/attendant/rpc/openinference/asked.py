"""What a request asks of a model that generates: the call of attendant.v1 that it stands for, and the answer's form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from attendant_proto.v1 import generation_pb2 as pb

from attendant.bundle import GeneratorManifest
from attendant.core.errors import AttendantError, InvalidRequest
from attendant.rpc.openinference import structured
from attendant.rpc.openinference.chats import set_chat
from attendant.rpc.openinference.ports import InferCall
from attendant.rpc.openinference.said import Said, check_known, everything_said, fields_of, put
from attendant.rpc.openinference.single import field_of, flag, shown, stream_wanted, text

TEXT, IDS, CHAT = "text_input", "input_ids", "chat"
STREAM, EXCLUDE_INPUT = "stream", "exclude_input_in_output"
LANGUAGES = ("source_language", "target_language")

_BESIDE = frozenset(("model", "text", "token_ids", "chat", "sampling", "stopping", "translation"))
"""Fields of a GenerateRequest that are not parameters: inputs say them, or their own fields are parameters."""
_PLACES: Mapping[str, str] = MappingProxyType(
    {
        **{field.name: "" for field in pb.GenerateRequest.DESCRIPTOR.fields if field.name not in _BESIDE},
        **{field.name: "sampling" for field in pb.Sampling.DESCRIPTOR.fields},
        **{field.name: "stopping" for field in pb.Stopping.DESCRIPTOR.fields},
        **{field.name: "translation" for field in pb.Translation.DESCRIPTOR.fields},
    }
)
"""Parameters, and the part of a GenerateRequest that has them."""

_ONLY: Mapping[str, bool] = MappingProxyType(
    {
        "detokenize": True,
        "include_stop_str_in_output": False,
        "spaces_between_special_tokens": True,
        "use_beam_search": False,
    }
)
"""Parameters of vLLM's that can only say what is done anyway."""

_INPUTS: Mapping[str, str] = MappingProxyType(
    {
        "model": "model_name",
        "text": field_of(TEXT),
        "token_ids": field_of(IDS),
        "chat": field_of(CHAT),
        **{field.name: f"{field_of(CHAT)}.{field.name}" for field in pb.Chat.DESCRIPTOR.fields},
    }
)
"""Where a request has what the front end calls otherwise."""


def _skip_special_tokens(message: pb.GenerateRequest, said: Said) -> None:
    message.keep_special_tokens = not said.flag()


def _top_k(message: pb.GenerateRequest, said: Said) -> None:
    put(message.sampling, "top_k", Said(0, said.field) if str(said.value) == _UNSET else said)


def _seed(message: pb.GenerateRequest, said: Said) -> None:
    if str(said.value) != _UNSET:
        put(message.sampling, "seed", said)


def _stop(message: pb.GenerateRequest, said: Said) -> None:
    if isinstance(said.value, str):
        message.stopping.stop.append(said.value)
    else:
        put(message.stopping, "stop", said)


def _bad_words(message: pb.GenerateRequest, said: Said) -> None:
    """vLLM has texts, attendant.v1 tokens."""
    texts = isinstance(said.value, list) and any(isinstance(each, str) for each in said.value)
    put(message.sampling, "bad_phrases" if texts else "bad_words", said)


def _best_of(message: pb.GenerateRequest, said: Said) -> None:
    if str(said.value) != str(message.n or 1):
        raise said.refusal(f"{message.n or 1}, which is n: as many sequences are made as are returned")


_UNSET = "-1"
"""What vLLM has for all tokens, or for no seed."""

_OTHERWISE: Mapping[str, Callable[[pb.GenerateRequest, Said], None]] = MappingProxyType(
    {
        "skip_special_tokens": _skip_special_tokens,
        "top_k": _top_k,
        "seed": _seed,
        "bad_words": _bad_words,
        "stop": _stop,
        "best_of": _best_of,
        **dict.fromkeys(structured.NAMES, structured.set_grammar),
    }
)
"""Parameters that vLLM has otherwise than attendant.v1, and what sets them."""

KNOWN = frozenset((*_PLACES, *_ONLY, *_OTHERWISE))
"""Every parameter that a request may have."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read.

    Attributes:
        message: what it asks for, as attendant.v1 has it.
        stream: pieces as they come.
        prefix: stands before each text of the answer.
        fields: where the request says what errors speak of, by the name that they have for it.
    """

    message: pb.GenerateRequest
    stream: bool
    prefix: str
    fields: Mapping[str, str]

    def named(self, error: AttendantError) -> AttendantError:
        """The error as the caller knows its field."""
        if not isinstance(error, InvalidRequest):
            return error
        found = re.match(r"(?:sampling\.)?(\w+)", error.field)
        field = self.fields.get(found[1]) if found is not None else None
        return (
            error
            if found is None or field is None
            else InvalidRequest(field + error.field[found.end() :], error.reason)
        )


def read(call: InferCall, manifest: GeneratorManifest, *, alone: bool, scored: bool) -> Asked:
    """What a request asks for.

    Args:
        alone: one response is all that the caller can take.
        scored: the answer's log-probabilities are wanted, be they asked for by a parameter or not.

    Raises:
        InvalidRequest: an input or a parameter that is wrong, unknown or missing.
        StreamNeeded: ``alone``, and the request asks for a stream.
    """
    said = _said(call)
    check_known(said, KNOWN)
    stream = stream_wanted(call, STREAM, alone=alone)
    message = pb.GenerateRequest(model=call.model)
    prompt = _set_prompt(message, call)
    _set_parameters(message, said)
    if not stream:
        message.whole = True
    if scored and not message.HasField("logprobs"):
        message.logprobs = 0
    fields = {**_INPUTS, **fields_of(said)}
    for name in set(structured.NAMES) & set(said):
        fields["grammar"] = said[name].field
    prefix = _prefix(call, prompt if manifest.encoder_input is None else None, stream=stream)
    return Asked(message, stream, prefix, fields)


def _said(call: InferCall) -> dict[str, Said]:
    """Parameters, and the inputs that are like parameters."""
    said = everything_said(call)
    for name in LANGUAGES:
        value = text(call, name)
        if value is not None:
            if name in said and said[name].value != value:
                raise said[name].refusal(f"{shown(value)}, as the input {name} has it, or one of both")
            said[name] = Said(value, field_of(name))
    return said


def _set_parameters(message: pb.GenerateRequest, said: Mapping[str, Said]) -> None:
    if "skip_special_tokens" in said and "keep_special_tokens" in said:
        raise said["skip_special_tokens"].refusal("not beside keep_special_tokens")
    asked = [name for name in ("grammar", *structured.NAMES) if name in said]
    if len(asked) > 1:
        raise said[asked[1]].refusal(f"not beside {asked[0]}")
    for name, each in sorted(said.items(), key=lambda pair: pair[0] == "best_of"):  # which looks at n
        if name in _OTHERWISE:
            _OTHERWISE[name](message, each)
        elif name in _ONLY:
            if each.flag() is not _ONLY[name]:
                raise each.refusal(str(_ONLY[name]).lower())
        else:
            part = _PLACES[name]
            put(getattr(message, part) if part else message, name, each)


def _set_prompt(message: pb.GenerateRequest, call: InferCall) -> str | None:
    """Set the prompt. Returns it if it is a text."""
    given = [name for name in (TEXT, IDS, CHAT) if name in call.inputs]
    if len(given) != 1:
        beside = f"are {', '.join(given)}" if given else f"have none of {TEXT}, {IDS}, {CHAT}"
        raise InvalidRequest("inputs", f"{beside}; allowed: one of {TEXT}, {IDS}, and {CHAT} where the model takes it")
    if given == [IDS]:
        message.token_ids.ids.extend(_ids(call))
        return None
    words = text(call, given[0])
    assert words is not None, "it is there"
    if given == [CHAT]:
        set_chat(message.chat, words, field_of(CHAT))
        return None
    message.text = words
    return words


def _ids(call: InferCall) -> list[int]:
    ids: list[int] = call.inputs[IDS].values.tolist()
    for place, token in enumerate(ids):
        if not 0 <= token < 2**32:
            raise InvalidRequest(f"{field_of(IDS)}[{place}]", f"is {token}; allowed: ids of the model's vocabulary")
    return ids


def _prefix(call: InferCall, prompt: str | None, *, stream: bool) -> str:
    """What stands before the text of the answer: the prompt, as in Triton's vLLM backend, unless the request excludes
    it, or streams. ``prompt``: None if it is no text, or if the answer does not continue it."""
    exclude = flag(call, EXCLUDE_INPUT)
    if exclude is False and (stream or prompt is None):
        why = "with stream" if stream else f"where the answer does not continue a {TEXT}"
        raise InvalidRequest(field_of(EXCLUDE_INPUT), f"is false; allowed {why}: true")
    if prompt is None or stream or exclude:
        return ""
    return prompt
