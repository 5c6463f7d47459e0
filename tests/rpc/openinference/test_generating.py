"""Models that generate behind named tensors: names as in Triton's vLLM backend, answers as the front end gives them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.core.chat import ChatMessage, ChatPrompt, ToolChoice
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.generation import (
    BeamCall,
    Delta,
    Finish,
    GenerationCall,
    GenerationPart,
    Resume,
    TextPrompt,
    TokenPrompt,
    Translation,
)
from attendant.core.grammar import Grammar
from attendant.frontend.front_end import FrontEnd
from attendant.rpc.context import of_request
from attendant.rpc.convert import generation_call
from attendant.rpc.openinference.generating import generator_ports
from attendant.rpc.openinference.ports import Port
from attendant_proto.v1 import generation_pb2 as pb

from tests.frontend.explain.helpers import with_demos
from tests.rpc.openinference.calls import answer, answers, infer_call, values
from tests.rpc.test_recording import Kept

PROMPT = "Where is my order?"
GREEDY = {"max_tokens": 12, "temperature": 0}


def port_of(front_end: FrontEnd, model: str, recorder: Any = None) -> Port:
    info = front_end.get_model(model)
    ((task, port),) = generator_ports(info, front_end, recorder)  # type: ignore[arg-type]
    assert task == "generate"
    return port


async def parts_of(front_end: FrontEnd, call: GenerationCall) -> list[GenerationPart]:
    return [part async for part in front_end.generation.generate(call)]


def text_of(parts: Sequence[GenerationPart], index: int = 0) -> str:
    return "".join(part.text for part in parts if isinstance(part, Delta) and part.index == index)


def tokens_of(parts: Sequence[GenerationPart], index: int = 0) -> list[int]:
    return [token for p in parts if isinstance(p, Delta) and p.index == index for token in p.token_ids]


def end_of(parts: Sequence[GenerationPart], index: int = 0) -> Finish:
    (end,) = [part for part in parts if isinstance(part, Finish) and part.index == index]
    return end


def test_a_whole_answer_begins_with_its_prompt_unless_that_is_excluded() -> None:
    async def test(front_end: FrontEnd) -> None:
        port = port_of(front_end, "demo")
        text = text_of(await parts_of(front_end, GenerationCall("", TextPrompt(PROMPT), max_tokens=12, temperature=0)))
        for exclude, prefix in ((None, PROMPT), (False, PROMPT), (True, "")):
            given = {} if exclude is None else {"exclude_input_in_output": exclude}
            call = infer_call("demo", {"text_input": PROMPT, "stream": False, **given}, sampling=GREEDY)
            assert await answer(port, call) == {"text_output": [prefix + text]}
        as_parameters = infer_call("demo", {"text_input": PROMPT}, max_tokens="12", temperature="0")
        assert await answer(port, as_parameters) == {"text_output": [PROMPT + text]}

    with_demos(test, "bundle")


def test_a_stream_gives_each_piece_and_an_end() -> None:
    async def test(front_end: FrontEnd) -> None:
        port = port_of(front_end, "demo")
        wanted = GenerationCall("", TextPrompt(PROMPT), max_tokens=12, temperature=0, logprobs=2)
        parts = await parts_of(front_end, wanted)
        asked = (
            *("finish_reason", "cumulative_logprob", "logprobs", "num_input_tokens", "num_output_tokens", "token_ids"),
            "finish",
        )
        inputs = {"text_input": PROMPT, "stream": True} | {f"return_{name}": True for name in asked}
        call = infer_call("demo", inputs, sampling={**GREEDY, "logprobs": 2})
        found = await answers(port, call)
        assert [each.last for each in found] == [False] * (len(found) - 1) + [True]
        told = [values(each) for each in found]
        assert all(set(each) == {"text_output", *asked} for each in told)
        assert "".join(each["text_output"][0] for each in told) == text_of(parts)
        assert [token for each in told for token in each["token_ids"]] == tokens_of(parts)
        assert [len(each["token_ids"]) for each in told] == [each["num_output_tokens"][0] for each in told]
        assert {each["num_input_tokens"][0] for each in told} == {end_of(parts).usage.prompt_tokens}
        assert [each["finish_reason"] for each in told] == [["None"]] * (len(told) - 1) + [["length"]]
        assert [each["finish"][0] for each in told[:-1]] == ["null"] * (len(told) - 1)
        end = json.loads(told[-1]["finish"][0])
        assert (end["reason"], end["usage"]["completion_tokens"]) == ("FINISH_REASON_LENGTH", 12)
        entries = [entry for part in parts if isinstance(part, Delta) for entry in part.logprobs]
        total = sum(entry.logprob for entry in entries)
        assert told[-1]["cumulative_logprob"] == pytest.approx([total])
        logprobs = [token for each in told for token in json.loads(each["logprobs"][0])]
        assert [next(iter(each)) for each in logprobs] == [str(entry.token_id) for entry in entries]
        for said, entry in zip(logprobs, entries, strict=True):
            for rank, (token, logprob) in enumerate(entry.top, 1):
                assert (said[str(token)]["rank"], said[str(token)]["logprob"]) == (rank, logprob)
        spelt = "".join(each[next(iter(each))]["decoded_token"] for each in logprobs)
        assert spelt == text_of(parts)

    with_demos(test, "bundle")


def test_several_sequences_are_elements_of_each_tensor() -> None:
    async def test(front_end: FrontEnd) -> None:
        port = port_of(front_end, "demo")
        sampling = {"n": 3, "seed": 7, "temperature": 2.0, "max_tokens": 8}
        wanted = GenerationCall("", TextPrompt(PROMPT), n=3, seed=7, temperature=2.0, max_tokens=8)
        parts = await parts_of(front_end, wanted)
        texts = [text_of(parts, index) for index in range(3)]
        assert len(set(texts)) == 3
        inputs = {"text_input": PROMPT, "return_num_output_tokens": True, "return_token_ids": True}
        found = await answer(port, infer_call("demo", inputs, sampling=sampling))
        assert found["text_output"] == [PROMPT + text for text in texts]
        assert found["num_output_tokens"] == [len(tokens_of(parts, index)) for index in range(3)]
        assert found["token_ids"] == [token for index in range(3) for token in tokens_of(parts, index)]
        inputs = {"text_input": PROMPT, "stream": True, "return_finish_reason": True}
        told = [values(each) for each in await answers(port, infer_call("demo", inputs, sampling=sampling))]
        assert ["".join(each["text_output"][index] for each in told) for index in range(3)] == texts
        assert told[-1]["finish_reason"] == [end_of(parts, index).reason for index in range(3)]

    with_demos(test, "bundle")


def test_chat_and_tokens_are_prompts_too() -> None:
    async def test(front_end: FrontEnd) -> None:
        port = port_of(front_end, "demo")
        messages = [{"role": "user", "content": "Where is my order 48213?"}]
        prompt = ChatPrompt((ChatMessage("user", "Where is my order 48213?"),))
        chat = text_of(await parts_of(front_end, GenerationCall("", prompt, temperature=0, max_tokens=12)))
        for given in (messages, {"messages": messages}, {"messages": messages, "template": ""}):
            call = infer_call("demo", {"chat": json.dumps(given)}, sampling=GREEDY)
            assert await answer(port, call) == {"text_output": [chat]}
        tokens = await front_end.generation.tokenize("demo", prompt)
        call = infer_call("demo", {"input_ids": list(tokens.token_ids)}, sampling=GREEDY)
        assert await answer(port, call) == {"text_output": [chat]}

    with_demos(test, "bundle")


def test_an_answer_that_is_given_is_scored() -> None:
    async def test(front_end: FrontEnd) -> None:
        port = port_of(front_end, "demo")
        ids = [5, 6, 7]
        wanted = GenerationCall("", TextPrompt(PROMPT), forced_answer=tuple(ids), logprobs=0)
        parts = await parts_of(front_end, wanted)
        total = sum(entry.logprob for part in parts if isinstance(part, Delta) for entry in part.logprobs)
        for given in (ids, {"ids": ids}, json.dumps(ids)):
            inputs = {"text_input": PROMPT, "return_cumulative_logprob": True, "return_token_ids": True}
            found = await answer(port, infer_call("demo", inputs, sampling={"forced_answer": given}))
            assert found["cumulative_logprob"] == [np.float32(total)]
            assert found["token_ids"] == ids

    with_demos(test, "bundle")


def test_beams_and_receipts_are_as_in_attendant_v1() -> None:
    async def test(front_end: FrontEnd) -> None:
        port = port_of(front_end, "demo")
        wanted = GenerationCall(
            "demo",
            TextPrompt(PROMPT),
            max_tokens=8,
            n=2,
            beam_search=BeamCall(3, 0.5),
            logprobs=0,
            whole=True,
            receipt=True,
        )
        parts = await parts_of(front_end, wanted)
        sampling = {"max_tokens": "8", "n": 2, "receipt": True, "beam_search": {"num_beams": 3, "length_penalty": 0.5}}
        inputs = {"text_input": PROMPT, "exclude_input_in_output": True, "return_cumulative_logprob": True}
        found = await answer(port, infer_call("demo", inputs, sampling=sampling))
        assert found["text_output"] == [text_of(parts, index) for index in range(2)]
        sums = [
            sum(e.logprob for p in parts if isinstance(p, Delta) and p.index == i for e in p.logprobs) for i in (0, 1)
        ]
        assert found["cumulative_logprob"] == pytest.approx(sums)
        receipts = [json.loads(each)["receipt"] for each in found["finish"]]
        expected = [end_of(parts, index).receipt for index in range(2)]
        assert [each["digest"] for each in receipts] == [each.digest for each in expected if each is not None]

    with_demos(test, "bundle")


def test_a_translator_takes_languages_and_gives_no_source_back() -> None:
    async def test(front_end: FrontEnd) -> None:
        port = port_of(front_end, "translator")
        text = "Where is the station?"
        parts = await parts_of(front_end, GenerationCall("translator", TextPrompt(text), temperature=0))
        inputs = {"text_input": text, "return_num_input_tokens": True, "stream": True}
        told = [values(each) for each in await answers(port, infer_call("translator", inputs))]
        assert "".join(each["text_output"][0] for each in told) == text_of(parts) != ""
        assert {each["num_input_tokens"][0] for each in told} == {end_of(parts).usage.prompt_tokens}
        assert await answer(port, infer_call("translator", {"text_input": text})) == {"text_output": [text_of(parts)]}

    with_demos(test, "translator")


@pytest.mark.parametrize("receipt", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_that_is_kept_is_one_of_attendant_v1(receipt: bool, streamed: bool) -> None:
    async def test(front_end: FrontEnd) -> None:
        kept = Kept()
        port = port_of(front_end, "demo", kept)
        inputs = {"text_input": PROMPT, "stream": streamed, "return_finish": True}
        call = infer_call("demo", inputs, sampling={**GREEDY, "receipt": receipt})
        told = [values(each) for each in await answers(port, call)]
        assert ("receipt" in json.loads(told[-1]["finish"][0])) == receipt
        texts = "".join(each["text_output"][0] for each in told).removeprefix("" if streamed else PROMPT)
        (only,) = kept.calls
        wanted = GenerationCall("demo", TextPrompt(PROMPT), receipt=True, max_tokens=12, temperature=0)
        parts = await parts_of(front_end, replace(wanted, whole=not streamed))
        kept_call = replace(wanted, whole=not streamed, receipt=receipt)
        assert replace(generation_call(only.request), receipt=receipt) == kept_call
        assert "".join(response.text for response in only.responses) == text_of(parts) == texts
        assert [each.digest for each in only.receipts] == [end_of(parts).receipt.digest]  # type: ignore[union-attr]

    with_demos(test, "bundle")


def test_a_large_request_is_read_like_a_small_one() -> None:
    async def test(front_end: FrontEnd) -> None:
        port = port_of(front_end, "demo")
        call = infer_call("demo", {"text_input": "a " * 40_000, "sampling_parameters": json.dumps(GREEDY)})
        with pytest.raises(InvalidRequest) as caught:
            await answers(port, call)
        assert caught.value.field == "inputs[text_input]"

    with_demos(test, "bundle")


def test_every_parameter_of_attendant_v1_is_known_and_reaches_its_call() -> None:
    from attendant.rpc import convert
    from attendant.rpc.openinference import asked

    async def test(front_end: FrontEnd) -> None:
        said = {
            "temperature": 0.5, "top_k": "4", "top_p": "0.9", "min_p": 0.1, "repetition_penalty": 1.1,
            "presence_penalty": 0.2, "frequency_penalty": -0.2, "logit_bias": {"5": "1.5"}, "seed": "11",
            "no_repeat_ngram_size": 3, "typical_p": 0.9, "epsilon_cutoff": 0.01, "eta_cutoff": 0.02, "top_h": 0.3,
            "encoder_no_repeat_ngram_size": 4, "encoder_repetition_penalty": 1.2, "suppress_tokens": [1, 2],
            "begin_suppress_tokens": {"ids": [3]}, "bad_words": [[4, 5], [6]], "bad_phrases": ["no"], "sequence_bias": {
                "entries": [{"sequence": {"ids": [7]}, "bias": 2.0}]}, "forced_first": [8], "forced_last": "[9]",
            "length_decay": {"start": 5, "factor": 1.5}, "max_tokens": 20.0, "min_tokens": "2", "stop": "END",
            "stop_token_ids": [10], "ignore_eos": "true", "n": 2, "logprobs": 3, "no_special_tokens": True,
            "beam_search": {"num_beams": 2}, "whole": True, "no_default_settings": "True", "forced_answer": [11],
            "receipt": False, "skip_special_tokens": False, "source_language": "de", "target_language": "fr",
            "detokenize": True, "best_of": 2, "top_p_unused": None, "grammar": {"regex": "a+"},
            "tool_choice": {"mode": "MODE_NAMED", "names": ["f"]}, "separate": "true", "tool_format": "hermes",
            "reasoning_format": "think", "priority": 3, "cache_salt": "us", "ttft_target_s": 1.5,
            "resume": {"token_ids": [12, 13], "index": 1},
        }  # fmt: skip
        info = front_end.get_model("demo")
        manifest = info.manifest
        call = infer_call("demo", {"text_input": PROMPT, "stream": True}, sampling=said)
        read = asked.read(call, manifest, alone=False, scored=False)  # type: ignore[arg-type]
        context = of_request(read.message, CallContext("id", arrival_ns=10**9))
        assert (context.priority, context.cache_salt, context.first_token_by_ns) == (3, b"us", 2_500_000_000)
        assert convert.generation_call(read.message) == GenerationCall(
            "demo",
            TextPrompt(PROMPT, add_special_tokens=False),
            max_tokens=20,
            min_tokens=2,
            stop=("END",),
            stop_token_ids=(10,),
            ignore_eos=True,
            temperature=0.5,
            top_k=4,
            top_p=float(np.float32(0.9)),
            min_p=float(np.float32(0.1)),
            repetition_penalty=float(np.float32(1.1)),
            presence_penalty=float(np.float32(0.2)),
            frequency_penalty=float(np.float32(-0.2)),
            logit_bias={5: 1.5},
            seed=11,
            n=2,
            logprobs=3,
            no_repeat_ngram_size=3,
            typical_p=float(np.float32(0.9)),
            epsilon_cutoff=float(np.float32(0.01)),
            eta_cutoff=float(np.float32(0.02)),
            top_h=float(np.float32(0.3)),
            encoder_no_repeat_ngram_size=4,
            encoder_repetition_penalty=float(np.float32(1.2)),
            suppress_tokens=(1, 2),
            begin_suppress_tokens=(3,),
            bad_words=((4, 5), (6,)),
            bad_phrases=("no",),
            sequence_bias=(((7,), 2.0),),
            forced_first=(8,),
            forced_last=(9,),
            length_decay=(5, 1.5),
            no_default_settings=True,
            beam_search=BeamCall(2),
            translation=Translation("de", "fr"),
            whole=True,
            keep_special_tokens=True,
            forced_answer=(11,),
            grammar=Grammar("regex", "a+"),
            tool_choice=ToolChoice("named", ("f",)),
            separate=True,
            tool_format="hermes",
            reasoning_format="think",
            resume=Resume((12, 13), 1),
        )
        elsewhere = {"model", "text", "token_ids", "chat", "sampling", "stopping", "translation", "keep_special_tokens"}
        fields = [*pb.GenerateRequest.DESCRIPTOR.fields, *pb.Sampling.DESCRIPTOR.fields, *pb.Stopping.DESCRIPTOR.fields]
        assert {field.name for field in fields} - elsewhere <= said.keys(), "a new field is tried here, too"
        minus = asked.read(
            infer_call(
                "", {"input_ids": [1, 2]}, sampling={"top_k": -1, "seed": "-1", "stop": ["a", "b"], "bad_words": ["no"]}
            ),
            manifest,  # type: ignore[arg-type]
            alone=True,
            scored=True,
        )
        plain = convert.generation_call(minus.message)
        assert plain == GenerationCall(
            "", TokenPrompt((1, 2)), top_k=0, stop=("a", "b"), bad_phrases=("no",), logprobs=0, whole=True
        )

    with_demos(test, "bundle")


@pytest.mark.parametrize(
    "said",
    [
        {"grammar": {"choice": {"texts": ["yes", "no"]}}},
        {"structured_outputs": {"choice": ["yes", "no"], "regex": None}},
        {"structured_outputs": '{"regex": "yes|no"}'},
        {"guided_decoding": {"json": {"enum": ["yes", "no"]}}},
        {"structured_outputs": {"grammar": 'root ::= "yes" | "no"'}},
        {"structured_outputs": {"grammar": 'start: "yes" | "no"'}},
    ],
)
def test_an_answer_is_of_the_grammar_that_is_asked_for(said: dict[str, Any]) -> None:
    async def test(front_end: FrontEnd) -> None:
        call = infer_call("demo", {"text_input": PROMPT, "exclude_input_in_output": True}, sampling={**GREEDY, **said})
        (text,) = (await answer(port_of(front_end, "demo"), call))["text_output"]
        assert text.strip('"') in ("yes", "no")

    with_demos(test, "bundle")
