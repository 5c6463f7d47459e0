"""Everything that a call carries has a limit: every field of every message of gRPC, and of every body of HTTP, stands
in one table with the setting that bounds it. A field that is added is bounded, or this fails."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from attendant.core.errors import InvalidRequest
from attendant.core.json_values import is_deeper, text_is_deeper
from attendant.rpc.bounds import ELSEWHERE, MessageBounds
from attendant.settings import LimitsSettings, ServeSettings
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tests.fuzz.surface import METHODS
from tests.http.api.known import BODIES
from tests.system.encoders import FLAGS, make_encoders
from tests.system.server import HANGS_S, ServerProcess, serving

TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
SMALL = MessageBounds(LimitsSettings(max_name_characters=5, max_entries=3))

BODY = "http.max_body_bytes"
OF_BODIES: Mapping[str, str] = {
    "limits.max_text_characters": "content context data instructions input inputs prompt query source suffix system "
    "text text_1 text_2 texts thinking reasoning reasoning_content citations",
    "limits.max_inputs": "documents",
    "limits.max_chat_pieces": "messages tools tool_calls functions",
    "limits.max_name_characters": "name role tool_call_id id tool_use_id",
    "limits.max_nesting": "chat_template_kwargs input_schema",
    "chat.max_template_characters": "chat_template",
    "limits.max_text_tokens": "tokens",
    "limits.max_stop_strings": "stop stop_sequences",
    "limits.max_listed_tokens": "stop_token_ids allowed_token_ids",
    "limits.max_bad_phrases": "bad_words",
    "limits.max_logit_bias": "logit_bias",
    "limits.max_grammar_choices": "guided_choice",
    "grammar.max_bytes": "guided_grammar guided_json guided_regex response_format schema structured_outputs "
    "output_format output_config format",
    # of these a server looks the value up among few, compares it, or refuses whatever is there
    BODY: "access_programs allowed_callers annotations audio background_options cache_control cache_salt caller "
    "chunking_strategy context_management conversation datatype description effort function_call generate_summary "
    "guided_decoding_backend guided_whitespace_pattern image include input_examples keywords known_speaker_names "
    "known_speaker_references kv_transfer_params language languages logits_processors mcp_servers metadata "
    "mm_processor_kwargs modalities mode model model_name moderation outputs parameters parsed prediction "
    "previous_response_id prompt_cache_key prompt_cache_options prompt_cache_retention prompt_embeds prompt_name "
    "rank_fields reasoning_effort refusal request_id safety_identifier service_tier shape signature stream_options "
    "summary timestamp_granularities title tool_choice truncation user user_id verbosity vllm_xargs web_search_options",
}
"""Fields of bodies by the setting that bounds them, wherever they stand."""


def kinds() -> Iterator[Descriptor]:
    """Every kind of message that a request has in it, once."""
    seen: dict[str, Descriptor] = {}
    left = [method.input_type for method in METHODS]
    while left:
        kind = left.pop()
        if kind.full_name not in seen:
            seen[kind.full_name] = kind
            left += [field.message_type for field in kind.fields if field.message_type is not None]
    yield from seen.values()


def unbounded(kind: Descriptor) -> Iterator[FieldDescriptor]:
    """Its fields that can be large by themselves: others are numbers, choices, and messages with fields."""
    yield from (field for field in kind.fields if field.is_repeated or field.type in TEXTS)


def exists(setting: str) -> bool:
    section, _, name = setting.partition(".")
    held = ServeSettings.model_fields.get(section)
    return held is not None and name in type(held.default).model_fields


def test_every_field_of_every_message_has_a_limit_with_a_setting() -> None:
    found = {field.full_name for kind in kinds() for field in unbounded(kind)}
    of_maps = {field.full_name for kind in kinds() if kind.GetOptions().map_entry for field in kind.fields}
    checked = {name for kind in kinds() for name in SMALL.fields(kind)}
    assert found - checked - ELSEWHERE.keys() - of_maps == set()
    assert ELSEWHERE.keys() - found == set(), "these fields are no more"
    assert [setting for setting in {*ELSEWHERE.values(), *OF_BODIES} if not exists(setting)] == []


def too_much(field: FieldDescriptor, kind: Descriptor, entries: int, characters: int) -> Any:
    """A message with so much in a field, and nothing else."""
    message = message_factory.GetMessageClass(kind)()
    text: Any = "x" * characters if field.type == FieldDescriptor.TYPE_STRING else b"x" * characters
    held = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for number in range(entries):
            if field.message_type.fields_by_name["value"].message_type is None:
                held[str(number)] = "a"
            else:
                held[str(number)].SetInParent()
    elif field.message_type is not None:
        for _ in range(entries):
            held.add()
    elif field.is_repeated:
        held.extend([text if field.type in TEXTS else 0] * entries)
    else:
        setattr(message, field.name, text)
    return message


OWN = [(field, kind) for kind in kinds() for field in unbounded(kind) if field.full_name in SMALL.fields(kind)]


@pytest.mark.parametrize(("field", "kind"), [each for each in OWN if not each[1].GetOptions().map_entry])
def test_one_more_than_allowed_is_refused_by_the_name_of_the_field(field: FieldDescriptor, kind: Descriptor) -> None:
    SMALL.check(too_much(field, kind, 3, 5))
    with pytest.raises(InvalidRequest, match=r"allowed: at most [35]") as caught:
        SMALL.check(too_much(field, kind, 4, 6 if not field.is_repeated else 5))
    assert caught.value.field == field.name
    if field.is_repeated and field.type in TEXTS:
        with pytest.raises(InvalidRequest, match=r"has 6 (characters|bytes); allowed: at most 5") as caught:
            SMALL.check(too_much(field, kind, 1, 6))
        assert caught.value.field == f"{field.name}[0]"


def fields_of(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[str]:
    """Names of the fields of a body, and of what is within it, that can be large."""
    for each in (schema, *defs.values()):
        for name, field in each.get("properties", {}).items():
            if _is_large(field, defs, ()):
                yield name


def _is_large(schema: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...]) -> bool:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name not in seen and _is_large(defs[name], defs, (*seen, name))
    several = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if several:
        return any(_is_large(each, defs, seen) for each in several)
    return not {"enum", "const"} & schema.keys() and schema.get("type") not in ("integer", "number", "boolean", "null")


def test_every_field_of_every_body_has_a_limit_with_a_setting() -> None:
    schemas = [kind.model_json_schema() for kind in BODIES.values()]
    found = {name for schema in schemas for name in fields_of(schema, schema.get("$defs", {}))}
    rows = [name for names in OF_BODIES.values() for name in names.split()]
    assert found - {*rows} == set()
    assert {*rows} - found == set(), "these fields are no more"
    assert len(rows) == len({*rows})


@pytest.mark.parametrize(
    ("text", "levels"), [('"[[["', 0), ("[1]", 1), ('[{"a]]": 1}]', 2), ('[{"\\\\\\"[": ["x"]}]', 3)]
)
def test_levels_of_nesting(text: str, levels: int) -> None:
    value = json.loads(text)
    assert (text_is_deeper(text, levels), is_deeper(value, levels)) == (False, False)
    if levels:
        assert (text_is_deeper(text, levels - 1), is_deeper(value, levels - 1)) == (True, True)


def test_levels_of_what_is_no_json() -> None:
    deep = "[" * 100_000
    assert text_is_deeper(deep, 200)
    assert not text_is_deeper(f'"{deep}', 200), "a text that does not end is for the parser to refuse"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with small limits."""
    folder = tmp_path_factory.mktemp("bounds")
    encoders = sorted(make_encoders(folder / "encoders").iterdir())
    small = {
        **{
            f"limits.{name}": 5
            for name in ("max-name-characters", "max-inputs", "max-chat-pieces", "max-listed-tokens")
        },
        **{f"limits.{name}": 4 for name in ("max-entries", "max-stop-strings", "max-bad-phrases", "max-logit-bias")},
        **{f"limits.{name}": 40 for name in ("max-text-characters", "max-image-bytes", "max-sound-bytes")},
        **{"limits.max-text-tokens": 6, "limits.max-nesting": 3, "limits.max-grammar-choices": 2},
        **{"limits.max-sequences": 2, "limits.max-answer-tokens": 50, "limits.max-logprobs": 1},
        **{"grammar.max-bytes": 64, "grpc.max-metadata-bytes": 2048, "http.max-head-bytes": 2048},
        **{"grpc.max-receive-bytes": 4096, "http.max-body-bytes": 4096},
    }
    words = [word for name, value in small.items() for word in (f"--{name}", value)]
    with serving(folder / "log", *encoders, "--demo", *FLAGS, "--engine.threads", 1, *words) as running:
        yield running


def ask(server: ServerProcess, method: str, message: Mapping[str, Any], **fields: Any) -> str:
    """How a call of attendant.v1 or TEI ends: empty for an answer."""
    from google.protobuf import json_format

    service, _, name = method.rpartition("/")
    found = next(each for each in METHODS if each.name == name and each.containing_service.full_name == service)  # type: ignore[attr-defined]
    sent = message_factory.GetMessageClass(found.input_type)()
    json_format.ParseDict(dict(message), sent)
    kind = "unary_stream" if found.server_streaming else "unary_unary"
    call = getattr(server.channel, kind)(f"/{method}", type(sent).SerializeToString)
    try:
        answer = call(sent, timeout=HANGS_S, **fields)
        _ = list(answer) if found.server_streaming else answer
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}"
    return ""


GENERATE, TOKENIZER = "attendant.v1.Generation/Generate", "attendant.v1.Tokenizer"
HI = {"role": "user", "content": "hi"}
DEEP, FLAT = '{"a": {"a": {"a": {}}}}', '{"a": {"a": {}}}'


def generate(**fields: Any) -> dict[str, Any]:
    return {"model": "demo", "text": "hi", "stopping": {"maxTokens": 2}, **fields}


def chatting(**fields: Any) -> dict[str, Any]:
    return {"model": "demo", "chat": {"messages": [HI], **fields}, "stopping": {"maxTokens": 2}}


REFUSED: tuple[tuple[str, dict[str, Any], str], ...] = (
    (GENERATE, generate(model="a" * 6), "model has 6 characters; allowed: at most 5"),
    (GENERATE, generate(toolFormat="a" * 6), "tool_format has 6 characters"),
    (GENERATE, generate(translation={"sourceLanguage": "a" * 6}), "translation.source_language has 6 characters"),
    (GENERATE, generate(text="a" * 41), "text has 41 characters; allowed: at most 40"),
    (GENERATE, generate(n=3), "n is 3; allowed: 1 to 2"),
    (
        GENERATE,
        generate(n=2, stopping={"maxTokens": 26}),
        "stopping.max_tokens is 26, and 2 sequences of up to 26 tokens have 52 together",
    ),
    (GENERATE, generate(logprobs=2), "logprobs is 2; allowed: 0 to 1"),
    (GENERATE, generate(stopping={"stop": ["a"] * 5}), "stopping.stop has 5 strings; allowed: at most 4"),
    (GENERATE, generate(stopping={"stopTokenIds": [1] * 6}), "stopping.stop_token_ids has 6 tokens"),
    (GENERATE, generate(sampling={"badPhrases": ["a"] * 5}), "sampling.bad_phrases has 5 texts"),
    (
        GENERATE,
        generate(sampling={"logitBias": {str(i): 1 for i in range(5)}}),
        "sampling.logit_bias has 5 entries",
    ),
    (GENERATE, generate(grammar={"choice": {"texts": ["a", "b", "c"]}}), "grammar.choice has 3 texts"),
    (GENERATE, generate(grammar={"regex": "a" * 65}), "grammar.regex has 65 bytes"),
    (
        GENERATE,
        generate(grammar={"jsonSchema": '{"a": {"a": {"a": {"a": 1}}}}'}),
        "grammar.json_schema is nested too deeply",
    ),
    (GENERATE, chatting(messages=[HI] * 6), "chat has 6 messages, parts, tool calls, tools and documents"),
    (GENERATE, chatting(messages=[{"role": "a" * 6}]), "chat.messages[0].role has 6 characters"),
    (GENERATE, chatting(messages=[{**HI, "name": "a" * 6}]), "chat.messages[0].name has 6 characters"),
    (GENERATE, chatting(template="a" * 6), "chat.template has 6 characters"),
    (
        GENERATE,
        chatting(templateVariables=DEEP),
        "chat.template_variables is nested too deeply; allowed: at most 3 levels",
    ),
    (GENERATE, chatting(documents=[DEEP]), "chat.documents[0] is nested too deeply"),
    (f"{TOKENIZER}/Detokenize", {"model": "demo", "tokenIds": [1] * 7}, "token_ids has 7 tokens; allowed: at most 6"),
    (f"{TOKENIZER}/Tokenize", {"model": "demo", "text": "a" * 41}, "text has 41 characters"),
    ("attendant.v1.Encoding/Classify", {"model": "moods", "inputs": [{"text": "a"}] * 6}, "inputs has 6 inputs"),
    ("attendant.v1.Encoding/Embed", {"inputs": [{"text": "a" * 41}]}, "inputs[0] has 41 characters"),
    ("attendant.v1.Encoding/EmbedImage", {"images": ["A" * 56]}, "images[0] has 42 bytes"),
    (
        "attendant.v1.Encoding/Transcribe",
        {"model": "words", "inputs": [{"wav": "A" * 56}]},
        "inputs[0].wav has 42 bytes",
    ),
    (
        "attendant.v1.Explain/Attention",
        {"model": "demo", "subject": {"text": "a"}, "heads": [0] * 5},
        "heads has 5 entries",
    ),
    ("inference.GRPCInferenceService/ModelReady", {"name": "a" * 6}, "name has 6 characters"),
    (
        "inference.GRPCInferenceService/TraceSetting",
        {"settings": {"a": {"value": ["a" * 6]}}},
        "settings['a'].value[0] has 6 characters",
    ),
    ("inference.GRPCInferenceService/LogSettings", {"settings": {"a" * 6: {}}}, "settings's name has 6 characters"),
    ("tei.v1.Rerank/Rerank", {"query": "a", "texts": ["a"] * 6}, "texts has 6 inputs"),
    ("attendant.v1.Models/GetModel", {"model": "a" * 6}, "model has 6 characters"),
)


@pytest.mark.parametrize(("method", "message", "said"), REFUSED, ids=[said for *_, said in REFUSED])
def test_a_server_refuses_one_more_by_the_name_of_the_field(
    server: ServerProcess, method: str, message: dict[str, Any], said: str
) -> None:
    assert ask(server, method, message).startswith(f"INVALID_ARGUMENT {said}")


def test_as_much_as_is_allowed_is_answered(server: ServerProcess) -> None:
    full = generate(text="a" * 40, n=2, logprobs=1, stopping={"maxTokens": 25, "stop": list("abcd")})
    assert ask(server, GENERATE, full) == ""
    assert ask(server, GENERATE, chatting(messages=[HI] * 5)) == ""
    assert ask(server, f"{TOKENIZER}/Detokenize", {"model": "demo", "tokenIds": [70] * 6}) == ""
    assert ask(server, "attendant.v1.Encoding/Classify", {"model": "moods", "inputs": [{"text": "a"}] * 5}) == ""
    assert "nested" not in ask(server, GENERATE, chatting(templateVariables=FLAT))


def test_metadata_messages_heads_and_bodies(server: ServerProcess) -> None:
    assert ask(server, GENERATE, generate(), metadata=(("x-a", "a" * 1000),)) == ""
    assert ask(server, GENERATE, generate(), metadata=(("x-a", "a" * 2048),)).startswith("RESOURCE_EXHAUSTED")
    assert ask(server, GENERATE, generate(), metadata=[("x-a", "a")] * 80).startswith("RESOURCE_EXHAUSTED")
    assert ask(server, GENERATE, generate(text="a" * 5000)).startswith("RESOURCE_EXHAUSTED")
    assert httpx.get(f"{server.http}/healthz", headers={"x-a": "a" * 1000}).status_code == 200
    assert first_line(server, b"x-a: " + b"a" * 3000).startswith("HTTP/1.1 431")
    assert first_line(server, b"\r\n".join([b"x-a: a"] * 400)).startswith("HTTP/1.1 431")
    body = {"model": "demo", "prompt": "a" * 5000}
    assert httpx.post(f"{server.http}/v1/completions", json=body).status_code == 413


def first_line(server: ServerProcess, headers: bytes) -> str:
    """The first line of what a request with these headers hears; empty if its connection was reset."""
    host, _, port = server.http.rpartition("//")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=HANGS_S) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n" + headers + b"\r\n\r\n")
        return line.makefile("rb").readline().decode()


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/completions", {"prompt": "a" * 41}, "prompt has 41 characters"),
        ("/v1/completions", {"prompt": "a", "stop": ["a"] * 5}, "stop has 5 strings"),
        ("/v1/completions", {"prompt": "a", "logit_bias": {str(i): 1 for i in range(5)}}, "logit_bias has 5 entries"),
        ("/v1/completions", {"prompt": "a", "guided_choice": ["a", "b", "c"]}, "guided_choice has 3 texts"),
        ("/v1/completions", {"prompt": "a", "guided_regex": "a" * 65}, "guided_regex has 65 bytes"),
        ("/v1/chat/completions", {"messages": [HI] * 6}, "has 6 messages, parts"),
        ("/v1/chat/completions", {"messages": [{**HI, "name": "a" * 6}]}, "messages[0].name has 6 characters"),
        ("/v1/chat/completions", {"messages": [HI], "chat_template_kwargs": json.loads(DEEP)}, "is nested too deeply"),
        ("/v1/messages", {"messages": [HI] * 6, "max_tokens": 2}, "has 7 messages, parts"),
        ("/detokenize", {"tokens": [1] * 7}, "has 7 tokens"),
        ("/v1/embeddings", {"model": "vectors", "input": ["a"] * 6}, "has 6 inputs"),
        ("/v1/rerank", {"model": "ranks", "query": "a", "documents": ["a"] * 6}, "has 6 inputs"),
    ],
)
def test_bodies_have_the_same_limits(server: ServerProcess, path: str, body: dict[str, Any], said: str) -> None:
    found = httpx.post(f"{server.http}{path}", json={"model": "demo", **body}, timeout=HANGS_S)
    assert (found.status_code in (400, 413), said in found.text) == (True, True), found.text


def test_the_page_of_limits_has_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
    settings = {*ELSEWHERE.values(), *OF_BODIES, "limits.max_entries", "http.max_head_bytes", "grpc.max_metadata_bytes"}
    assert [name for name in sorted(settings) if f"`{name}`" not in page] == []
