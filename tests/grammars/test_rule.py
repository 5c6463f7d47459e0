"""A rule walks along texts of its grammar: what may follow, where an end may come, forks, copies in other processes."""

from __future__ import annotations

import pickle
from functools import lru_cache

import numpy as np
import pytest
from attendant.core.errors import InvalidRequest
from attendant.core.grammar import Grammar
from attendant.grammars.compiled import CompiledGrammar, GrammarLimits
from attendant.grammars.rule import GrammarRule
from attendant.grammars.words import GrammarWords

from tests.grammars.tokenizers import made

NOTHING = np.empty(0, np.int64)


@lru_cache
def words(kind: str = "byte_level") -> GrammarWords:
    return GrammarWords(made(kind).to_str(), made(kind).get_vocab_size())


EOS = made("byte_level").token_to_id("</s>")
STOP = made("byte_level").token_to_id("}")


def compiled(grammar: Grammar, kind: str = "byte_level", **limits: float) -> CompiledGrammar:
    return CompiledGrammar(grammar, words(kind), GrammarLimits(**limits))  # type: ignore[arg-type]


def rule(grammar: Grammar, kind: str = "byte_level", ends: tuple[int, ...] = (EOS,), forced: int = 0) -> GrammarRule:
    return GrammarRule(compiled(grammar, kind), ends, forced)


def allowed(of: GrammarRule) -> set[int]:
    mask = of.mask(NOTHING)
    assert mask is not None
    assert mask.failure is None
    assert mask.allowed is not None
    return set(np.flatnonzero(np.unpackbits(mask.allowed, bitorder="little")).tolist())


def take(of: GrammarRule, text: str, kind: str = "byte_level") -> GrammarRule:
    """Accept a text's tokens, each of which the rule must allow."""
    for token in words(kind).ll.tokenize_str(text):
        assert token in allowed(of), (text, words(kind).tokens[token])
        of.accept(token)
    return of


TEXTS = [
    (Grammar("json_object"), '{"a": [1, 2.5e3, null, true, "x"]}', True),
    (Grammar("json_schema", '{"type": "array", "items": {"enum": ["yes", "no"]}}'), '["yes", "no"]', True),
    (Grammar("json_schema", "true"), "[[]]", True),
    (Grammar("regex", "a{2}b+"), "aab", False),
    (Grammar("regex", "ab[cd]"), "abd", True),
    (Grammar("choice", choices=("yes", "yes, but", "né🙂\n\\\"'")), "yes", False),
    (Grammar("choice", choices=("yes", "yes, but")), "yes, but", True),
    (Grammar("choice", choices=("no", "né🙂\n\\\"'")), "né🙂\n\\\"'", True),
    (Grammar("lark", 'start: "(" x ")"\nx: "a" x | "b"'), "(aab)", True),
    (Grammar("gbnf", 'root ::= "(" x ")"\nx ::= "a" x | [b-c]'), "(aac)", True),
]


@pytest.mark.parametrize(("grammar", "text", "complete"), TEXTS, ids=[f"{g.kind} {t}" for g, t, _ in TEXTS])
def test_a_text_may_end_where_it_is_whole_and_nowhere_before(grammar: Grammar, text: str, complete: bool) -> None:
    walk = rule(grammar)
    take(walk, text[:-1])
    assert EOS not in allowed(walk)
    assert not walk.is_complete()
    walk = take(rule(grammar), text)
    assert walk.is_complete() is complete
    if not complete:
        assert EOS in allowed(walk)


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece_bytes", "unigram"])
def test_every_kind_of_tokenizer_writes_json(kind: str) -> None:
    schema = Grammar("json_schema", '{"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}')
    walk = rule(schema, kind, ends=())
    written, rng = b"", np.random.default_rng(0)
    for _ in range(200):
        if walk.is_complete():
            break
        token = int(rng.choice(sorted(allowed(walk))))
        written += words(kind).tokens[token]
        walk.accept(token)
    assert written.decode().startswith("{")
    assert b'"a"' in written


def test_a_token_that_ends_answers_is_none_of_their_text() -> None:
    schema = Grammar("json_schema", '{"type": "object", "additionalProperties": {"type": "object"}}')
    plain, ended = take(rule(schema), '{"a": {'), take(rule(schema, ends=(EOS, STOP)), '{"a": {')
    assert STOP in allowed(plain)
    assert STOP not in allowed(ended)


def test_tokens_that_are_forced_are_none_of_the_text() -> None:
    walk = rule(Grammar("regex", "ab"), forced=2)
    for token in (7, 9):
        assert walk.mask(NOTHING) is None
        assert not walk.is_complete()
        walk.accept(token)
    assert take(walk, "ab").is_complete()


def test_what_a_fork_accepts_the_other_does_not_see() -> None:
    one = take(rule(Grammar("choice", choices=("left a", "left b"))), "left ")
    other = one.fork()
    take(one, "a")
    assert one.is_complete()
    assert not other.is_complete()
    assert take(other, "b").is_complete()


def test_it_crosses_to_another_process_in_the_midst_of_a_text() -> None:
    walk = take(rule(Grammar("lark", 'start: "(" x ")"\nx: "a" x | "b"')), "(aa")
    crossed = pickle.loads(pickle.dumps(walk))
    assert allowed(crossed) == allowed(walk)
    assert take(crossed, "b)").is_complete()


def test_a_token_that_cannot_follow_ends_the_request() -> None:
    walk = rule(Grammar("regex", "ab"))
    walk.accept(STOP)
    mask = walk.mask(NOTHING)
    assert mask is not None
    assert isinstance(mask.failure, InvalidRequest)
    assert mask.failure.field == "grammar.regex"
    assert not walk.is_complete()


def test_masks_that_take_too_long_end_the_request() -> None:
    walk = GrammarRule(compiled(Grammar("json_schema", f'{{"const": "{"x" * 50_000}"}}'), max_mask_s=10.0), ())
    assert walk.mask(NOTHING) is not None
    slow = CompiledGrammar.__new__(CompiledGrammar)
    slow.__dict__ = {**walk._compiled.__dict__, "limits": GrammarLimits(max_mask_s=1e-9)}
    mask = GrammarRule(slow, ()).mask(NOTHING)
    assert mask is not None
    assert "takes too long" in str(mask.failure)


def test_named_tokens_are_written_in_angle_brackets() -> None:
    walk = rule(Grammar("lark", "start: <tool_call> /[a-z]+/ <|im_end|>"), ends=(EOS,))
    call, end = (made("byte_level").token_to_id(name) for name in ("<tool_call>", "<|im_end|>"))
    assert allowed(walk) == {call}
    walk.accept(call)
    assert end in allowed(take(walk, "abc"))
    walk.accept(end)
    assert walk.is_complete()
