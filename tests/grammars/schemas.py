"""JSON schemas drawn by hypothesis, of the keywords that a server honours, and answers to them by an engine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendant.bundle import read_manifest
from attendant.core.beams import BeamParams
from attendant.core.events import FailedEvent
from attendant.core.grammar import Grammar
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.grammars.compiled import CompiledGrammar, GrammarLimits
from attendant.grammars.rule import GrammarRule
from attendant.grammars.words import GrammarWords
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.engine.helpers import drain

_NAMES = st.sampled_from(("a", "b", "name", "größe", "x y", 'q"t', "n1"))
_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=6)
_PATTERNS = st.sampled_from(("^[a-c]{1,4}$", "^x+y?$", "^(ab|cd)*$", r"^\d{2}-\d{2}$"))


def _strings() -> st.SearchStrategy[dict[str, Any]]:
    lengths = st.tuples(st.integers(0, 4), st.integers(0, 6)).map(
        lambda pair: {"type": "string", "minLength": pair[0], "maxLength": sum(pair)}
    )
    formats = st.sampled_from(("date", "time", "ipv4", "uuid")).map(lambda name: {"type": "string", "format": name})
    return st.one_of(lengths, _PATTERNS.map(lambda text: {"type": "string", "pattern": text}), formats)


def _numbers() -> st.SearchStrategy[dict[str, Any]]:
    def bounded(pair: tuple[int, int], kind: str) -> dict[str, Any]:
        return {"type": kind, "minimum": min(pair), "maximum": max(pair)}

    pairs = st.tuples(st.integers(-2_000, 2_000), st.integers(-2_000, 2_000))
    return st.one_of(
        pairs.map(lambda pair: bounded(pair, "integer")),
        pairs.map(lambda pair: bounded(pair, "number")),
        st.integers(2, 40).map(
            lambda each: {"type": "integer", "multipleOf": each, "minimum": 0, "exclusiveMaximum": 999}
        ),
    )


_LEAVES: st.SearchStrategy[Any] = st.one_of(
    _strings(),
    _numbers(),
    st.lists(st.one_of(_WORDS, st.integers(-9, 9), st.none(), st.booleans()), min_size=1, max_size=4).map(
        lambda values: {"enum": values}
    ),
    st.one_of(_WORDS, st.lists(st.integers(0, 9), max_size=2)).map(lambda value: {"const": value}),
    st.sampled_from(({"type": "boolean"}, {"type": "null"}, {"type": ["integer", "null"], "minimum": 0, "maximum": 9})),
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(_NAMES, inner, max_size=4).flatmap(
        lambda found: st.sets(st.sampled_from(sorted(found)) if found else st.nothing()).map(
            lambda needed: {
                "type": "object",
                "properties": found,
                "required": sorted(needed),
                "additionalProperties": False,
            }
        )
    )
    arrays = st.tuples(inner, st.integers(0, 2), st.integers(0, 2)).map(
        lambda drawn: {"type": "array", "items": drawn[0], "minItems": drawn[1], "maxItems": drawn[1] + drawn[2]}
    )
    pairs = st.lists(inner, min_size=1, max_size=3).map(
        lambda items: {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    )
    either = st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    named = inner.map(lambda schema: {"$defs": {"it": schema}, "type": "array", "items": {"$ref": "#/$defs/it"}})
    limited = named.map(lambda schema: {**schema, "maxItems": 2})
    return st.one_of(objects, objects, arrays, pairs, either, limited)


def _rooted(schema: Any) -> Any:
    """References of parts as references of the whole."""
    found: dict[str, Any] = {}

    def walk(part: Any) -> Any:
        if isinstance(part, list):
            return [walk(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$defs" in part:
            name = f"d{len(found)}"
            found[name] = None
            found[name] = walk(part["$defs"]["it"])
            rest = {key: value for key, value in part.items() if key not in ("$defs", "items")}
            return {**rest, "items": {"$ref": f"#/$defs/{name}"}}
        return {key: value if key in ("enum", "const") else walk(value) for key, value in part.items()}

    whole = walk(schema)
    return {**whole, "$defs": found} if found else whole


schemas: st.SearchStrategy[dict[str, Any]] = (
    st.recursive(_LEAVES, _nested, max_leaves=6)
    .map(_rooted)
    .map(lambda schema: {**schema, "x-guidance": {"whitespace_flexible": False}})
)


@dataclass(frozen=True)
class Told:
    """An answer to a schema: its tokens, and how it ended."""

    tokens: tuple[int, ...]
    text: bytes
    reason: str


PARAMS: Sequence[Callable[[int], SamplingParams]] = (
    lambda seed: SamplingParams(max_tokens=150),
    lambda seed: SamplingParams(max_tokens=150, temperature=1.5, seed=seed),
    lambda seed: SamplingParams(max_tokens=150, temperature=0.8, top_p=0.9, top_k=20, seed=seed),
    lambda seed: SamplingParams(max_tokens=12 + seed % 9, temperature=1.0, seed=seed),
)
"""Ways to answer: the most probable tokens, drawn ones, drawn ones of few, and answers that are cut."""


class Answers:
    """Answers of one engine, whose model has these words."""

    def __init__(self, engine: Engine, words: GrammarWords, eos: tuple[int, ...]) -> None:
        self.engine = engine
        self._words = words
        self._eos = eos

    def ask(self, schema: dict[str, Any], seed: int) -> list[Request]:
        """A request for each way to answer, and beams."""
        compiled = CompiledGrammar(
            Grammar("json_schema", json.dumps(schema)), self._words, GrammarLimits(max_mask_s=60)
        )
        prompt = tuple(10 + (seed * 7 + i) % 90 for i in range(5 + seed % 11))
        rules = (GrammarRule(compiled, self._eos),)
        asked = [
            Request(f"{seed}.{i}", prompt, params(seed), time.monotonic_ns(), rules=rules)
            for i, params in enumerate(PARAMS)
        ]
        ids = (f"{seed}.b",)  # one, as some schemas have but one text
        beams = SamplingParams(max_tokens=60)
        return [
            *asked,
            Request(ids[0], prompt, beams, time.monotonic_ns(), rules=rules, beams=BeamParams(2, 1), hypotheses=ids),
        ]

    def give(self, requests: Sequence[Request]) -> dict[str, Told]:
        """All answers, made together."""
        for request in requests:
            self.engine.submit(request)
        collected = drain(self.engine)
        told = {}
        for id_, end in collected.ends.items():
            assert not isinstance(end, FailedEvent), (id_, end.error)
            tokens = tuple(collected.tokens[id_])
            told[id_] = Told(tokens, b"".join(self._words.tokens[token] for token in tokens), end.reason.value)
        return told

    def check(self, schema: dict[str, Any], told: Told) -> None:
        """An answer that ended fits; one that was cut is the beginning of one that would."""
        if told.reason == "stop":
            Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
                json.loads(told.text)
            )
            return
        assert told.reason == "length"
        rest = self._words.ll.tokenize_bytes(told.text)
        grammar = CompiledGrammar(Grammar("json_schema", json.dumps(schema)), self._words, GrammarLimits(max_mask_s=60))
        assert grammar.matcher().validate_tokens(rest) == len(rest)


def answers_of(bundle: Path) -> Answers:
    """Answers of the model of a bundle."""
    manifest = read_manifest(bundle)
    chosen = EngineSettings(max_num_seqs=8, threads=1, spinning=False)
    part = load_generator(bundle, manifest, chosen, verify=False)
    words = GrammarWords(part.text.tokenizer.to_str(), manifest.vocab_size)
    return Answers(part.engines[0], words, manifest.special_tokens.eos)


def check_schema(answers: Answers, schema: dict[str, Any], seed: int, company: Sequence[Request]) -> list[Told]:
    """Answers of all ways, alone and among ``company``, fit and are the same. Returns them."""
    Draft202012Validator.check_schema(schema)
    requests = answers.ask(schema, seed)
    together = answers.give([*requests, *company])
    found = []
    for request in requests:
        alone = answers.give([request])
        for id_, told in alone.items():
            assert together[id_] == told
            answers.check(schema, told)
            found.append(told)
    return found
