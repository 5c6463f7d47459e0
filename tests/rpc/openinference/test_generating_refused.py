"""Requests to models that generate which are refused: each names what is wrong, and nothing reaches the model."""

from __future__ import annotations

from typing import Any

import pytest
from attendant.core.errors import InvalidRequest, StreamNeeded
from attendant.frontend.front_end import FrontEnd

from tests.frontend.explain.helpers import with_demos
from tests.rpc.openinference.calls import answers, infer_call
from tests.rpc.openinference.test_generating import GREEDY, PROMPT, port_of

REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("no prompt", {}, {}, "inputs", "none of text_input, input_ids, chat"),
    ("two prompts", {"text_input": "a", "input_ids": [1]}, {}, "inputs", "are text_input, input_ids"),
    ("two texts", {"text_input": ["a", "b"]}, {}, "inputs[text_input]", "has 2 elements; allowed: 1"),
    ("no utf-8", {"text_input": b"\xff"}, {}, "inputs[text_input]", "is not UTF-8"),
    ("negative id", {"input_ids": [3, -1]}, {}, "inputs[input_ids][1]", "is -1"),
    ("unknown id", {"input_ids": [3, 10**6]}, {}, "inputs[input_ids]", "1000000"),
    ("empty ids", {"text_input": ""}, {}, "inputs[text_input]", "has no tokens"),
    ("unknown", {"text_input": "a"}, {"temprature": 1}, "sampling_parameters.temprature", "is not known; allowed: "),
    ("no number", {"text_input": "a"}, {"top_p": "much"}, "sampling_parameters.top_p", 'is "much"; allowed: a number'),
    ("range", {"text_input": "a"}, {"top_p": "1.5"}, "sampling_parameters.top_p", "is 1.5; allowed: greater than 0"),
    ("negative", {"text_input": "a"}, {"max_tokens": -3}, "sampling_parameters.max_tokens", "is -3; allowed: a whole"),
    ("part", {"text_input": "a"}, {"max_tokens": 2.5}, "sampling_parameters.max_tokens", "is 2.5"),
    ("flag", {"text_input": "a"}, {"ignore_eos": "maybe"}, "sampling_parameters.ignore_eos", "true or false"),
    ("flag as number", {"text_input": "a"}, {"n": True}, "sampling_parameters.n", "is true"),
    ("bias", {"text_input": "a"}, {"logit_bias": {"x": 1}}, "sampling_parameters.logit_bias", "is not an object"),
    ("bias of none", {"text_input": "a"}, {"logit_bias": {"99999": 1}}, "sampling_parameters.logit_bias", "99999"),
    (
        "beams",
        {"text_input": "a"},
        {"beam_search": {"num_beams": 999}},
        "sampling_parameters.beam_search.num_beams",
        "",
    ),
    ("detokenize", {"text_input": "a"}, {"detokenize": False}, "sampling_parameters.detokenize", "allowed: true"),
    ("grammar", {"text_input": "a"}, {"grammar": {"regex": "a("}}, "sampling_parameters.grammar.regex", "unclosed"),
    (
        "grammar of vLLM's",
        {"text_input": "a"},
        {"structured_outputs": {"regex": 0}},
        "sampling_parameters.structured_outputs.regex",
        "allowed: a regular expression",
    ),
    (
        "grammar of vLLM's that is broken",
        {"text_input": "a"},
        {"structured_outputs": {"regex": "a("}},
        "sampling_parameters.structured_outputs.regex",
        "unclosed",
    ),
    (
        "two grammars",
        {"text_input": "a"},
        {"structured_outputs": {"regex": "a", "choice": ["b"]}},
        "sampling_parameters.structured_outputs",
        "one of json, regex",
    ),
    (
        "grammars by two names",
        {"text_input": "a"},
        {"structured_outputs": {"regex": "a"}, "grammar": {"regex": "a"}},
        "sampling_parameters.structured_outputs",
        "not beside grammar",
    ),
    (
        "structural tag",
        {"text_input": "a"},
        {"structured_outputs": {"structural_tag": "{}"}},
        "sampling_parameters.structured_outputs.structural_tag",
        "no such kind",
    ),
    ("best_of", {"text_input": "a"}, {"n": 2, "best_of": 4}, "sampling_parameters.best_of", "allowed: 2"),
    ("lora", {"text_input": "a"}, {"lora_name": "x"}, "sampling_parameters.lora_name", "is not known"),
    ("languages", {"text_input": "a"}, {"target_language": "fr"}, "translation", "continues its prompt"),
    ("chat", {"chat": "hello"}, {}, "inputs[chat]", "is not JSON"),
    ("chat of texts", {"chat": '["a"]'}, {}, "inputs[chat].messages[0]", 'is "a"'),
    ("chat role", {"chat": '[{"content": "a"}]'}, {}, "inputs[chat].messages[0].role", "is missing"),
    ("chat parts", {"chat": '[{"role": "user", "content": []}]'}, {}, "inputs[chat].messages[0].content", "is []"),
    ("chat more", {"chat": '{"messages": [], "tool": []}'}, {}, "inputs[chat].tool", "is not known"),
    ("chat tools", {"chat": '{"messages": [], "tools": [7]}'}, {}, "inputs[chat].tools[0]", "is 7"),
    (
        "chat flag",
        {"chat": '{"messages": [], "continue_final_message": 1}'},
        {},
        "inputs[chat].continue_final_message",
        "is 1",
    ),
    (
        "chat image",
        {"chat": '[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]'},
        {},
        "inputs[chat].messages[0].content[0]",
        'allowed: {"type": "text"',
    ),
    (
        "chat call",
        {"chat": '[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]'},
        {},
        "inputs[chat].messages[0].tool_calls[0].arguments",
        "is no JSON",
    ),
    (
        "chat variables",
        {"chat": '{"messages": [{"role": "user", "content": "a"}], "template_variables": {"mood": 1}}'},
        {},
        "inputs[chat].template_variables",
        "does not look at",
    ),
    (
        "unseen",
        {"text_input": "a"},
        {"separate": True},
        "sampling_parameters.separate",
        "outputs reasoning, tool_calls",
    ),
    (
        "template",
        {"chat": '{"messages": [{"role": "user", "content": "a"}], "template": "x"}'},
        {},
        "inputs[chat].template",
        "",
    ),
    ("prompt of chat", {"chat": "[]", "exclude_input_in_output": False}, {}, "inputs[exclude_input_in_output]", ""),
    (
        "prompt in a stream",
        {"text_input": "a", "stream": True, "exclude_input_in_output": False},
        {},
        "inputs[exclude_input_in_output]",
        "allowed with stream: true",
    ),
]


@pytest.mark.parametrize(
    ("inputs", "sampling", "field", "words"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_what_is_wrong_is_named(inputs: dict[str, Any], sampling: dict[str, Any], field: str, words: str) -> None:
    async def test(front_end: FrontEnd) -> None:
        port = port_of(front_end, "demo")
        with pytest.raises(InvalidRequest) as caught:
            await answers(port, infer_call("demo", inputs, sampling=sampling))
        assert caught.value.field == field
        assert words in caught.value.reason

    with_demos(test, "bundle")


def test_json_that_says_a_thing_twice_or_otherwise_than_a_parameter_is_refused() -> None:
    async def test(front_end: FrontEnd) -> None:
        port = port_of(front_end, "demo")
        for words, field in (
            ('{"n": 1, "n": 2}', "inputs[sampling_parameters]"),
            ("[]", "inputs[sampling_parameters]"),
        ):
            with pytest.raises(InvalidRequest) as caught:
                await answers(port, infer_call("", {"text_input": "a", "sampling_parameters": words}))
            assert caught.value.field == field
        with pytest.raises(InvalidRequest) as caught:
            await answers(port, infer_call("", {"text_input": "a"}, sampling={"n": 2}, n=1))
        assert caught.value.field == "parameters[n]"
        same = infer_call("demo", {"text_input": PROMPT}, sampling=GREEDY, max_tokens="12")
        assert len(await answers(port, same)) == 1

    with_demos(test, "bundle")


def test_a_stream_needs_a_call_that_takes_one() -> None:
    async def test(front_end: FrontEnd) -> None:
        port = port_of(front_end, "demo")
        call = infer_call("demo", {"text_input": "a", "stream": True})
        with pytest.raises(StreamNeeded, match=r"inputs\[stream\] is true.*ModelStreamInfer"):
            await answers(port, call, alone=True)
        receipt = infer_call("demo", {"text_input": "a"}, ["text_output"], sampling={"receipt": True})
        with pytest.raises(InvalidRequest, match="output finish"):
            await answers(port, receipt)

    with_demos(test, "bundle")
