"""Templates and patterns of bundles from strangers: none takes all time or memory there is."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from attendant.bundle import ChatTemplate, ChatTemplates, TemplateBroken, TemplateRefused
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.generation import TextPrompt
from attendant.models.text import TextCodec
from attendant.tasks.patterns import is_unbounded, patterns
from attendant.tasks.text import TextTokenizer
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

from tests.models.hostile_templates import TEMPLATES
from tests.synthetic import byte_tokenizer
from tests.system.server import REPOSITORY

USER = [{"role": "user", "content": "hi"}]
HARMLESS = {"namespaces of namespaces"}
"""What looks hostile, and is none: it says nothing of what is in it."""


def test_a_hostile_template_is_refused_in_a_bounded_time_and_memory() -> None:
    """Its process has a gigabyte of memory and two minutes of processor time, and no template ends it."""
    command = [sys.executable, "-m", "tests.models.hostile_templates"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {name: said for name, said, _ in map(json.loads, done.stdout.splitlines())}
    assert found.keys() == TEMPLATES.keys()
    assert {name for name, said in found.items() if said is None} == HARMLESS
    assert "processor time" in found["loops"]
    assert "processor time" in found["loops of comparisons"]
    assert "it makes a value of" in found["text twice"]


def test_one_that_waits_for_its_moment_costs_its_call_and_no_other() -> None:
    source = "{% if messages[0].content == 'now' %}{{ 'x' * 10 ** 10 }}{% endif %}{{ messages[0].content }}"
    codec = TextCodec(byte_tokenizer(), ChatTemplates({"default": source}, {}))
    with pytest.raises(InvalidRequest, match=r"^messages were refused by the model's chat template: it makes a value"):
        codec.tokenize(ChatPrompt((ChatMessage("user", "now"),)))
    assert codec.rendered(ChatPrompt((ChatMessage("user", "later"),))) == "later"


def test_one_that_is_always_hostile_is_none_to_load() -> None:
    with pytest.raises(TemplateBroken, match="it makes a value of 10000000000 characters") as caught:
        ChatTemplates({"default": "{{ 'x' * 10 ** 10 }}"}, {})
    assert caught.value.compiles


def test_who_is_given_more_may_make_more() -> None:
    template = ChatTemplate("{% for m in messages %}{{ (m.content ~ '!') | trim }}{% endfor %}", {})
    long = "x" * 6_000_000
    assert template.render([{"role": "user", "content": long}]) == long + "!"
    many = [{"role": "user", "content": "y"}] * 30_000
    assert template.render(many) == "y!" * 30_000


def test_renderings_of_two_threads_count_for_themselves() -> None:
    template = ChatTemplate("{% for i in range(9) %}{{ messages[0].content }}{% endfor %}", {})
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(template.render([{"role": "user", "content": "z" * 400_000}])))
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [len(text) for text in found] == [3_600_000] * 4


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content.strip().split('h')[-1] }}{{ 'a' ~ 1 ~ [1, 'b'] }}{{ '%s-%d' % ('a', 1) }}",
        "{{ '{:>5}|{}'.format('a', messages) }}{{ messages | tojson(indent=2) }}{{ 2 ** 10 * 3 + 1 }}",
        "{{ ['b', 'a'] | sort | join(', ') }}{{ 'ab'[::-1] }}{{ {'a': 1} | items | list }}{{ 'a' | center(9) }}",
        "{{ '7'.zfill(3) }}{{ 'ab'.upper().ljust(4) }}|",
        "{{ 'a\nb' | indent(2, true) }}{{ 'aXb'.replace('X', '<>') }}",
        "{{ [1, 2, 3] | batch(2, 0) | list }}{{ 3 | round }}{{ ' x ' | trim('x ') }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(3) if i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l }}",
        "{% for a, b in [(1, 2), (3, 4)] recursive %}{{ a }}{{ loop.index }}{{ 1 < b <= 4 }}{% else %}x{% endfor %}",
        "{{ [1, 2] | sum }}{{ 'x' is in ['x'] }}{{ [[1], [2]] | map('first') | list }}{{ (1, 2) }}",
    ],
)
def test_what_is_counted_gives_what_it_gave(source: str) -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    plain.filters["tojson"] = lambda value, indent=None: json.dumps(value, indent=indent, ensure_ascii=False)
    assert ChatTemplate(source, {}).render(USER) == plain.from_string(source).render(messages=USER)


@pytest.mark.parametrize(
    "source",
    ["{{ messages[0].content.encode('utf-8') }}", "{{ 'a'.translate({97: 'b'}) }}", "{{ (1).to_bytes(1, 'big') }}"],
)
def test_methods_that_nobody_counts_are_none(source: str) -> None:
    with pytest.raises(TemplateRefused, match="a sandbox forbids"):
        ChatTemplate(source, {}).render(USER)


@pytest.mark.parametrize(
    ("pattern", "unbounded"),
    [
        (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", False),
        (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+",
            False,
        ),
        (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{M}]*[\p{Ll}\p{M}]+(?i:'s|'t|'re)?|\p{N}{1,3}(?=(?:\p{N}{3})*$)", False),
        (r" ?[^(\s|[.,!?…])]+", False),
        (r"[(a+)+]+|\(a+\)+|(a{2,5})+", False),
        (r"(a+)+c", True),
        (r"(?:a|aa)+$", True),
        (r"x((a*b)*c)", True),
        (r"(?:a{2,})*", True),
        (r"((a|b)c){3,}", True),
        (r"(a+)++c", False),
    ],
)
def test_patterns_of_tokenizers(pattern: str, unbounded: bool) -> None:
    assert is_unbounded(pattern) is unbounded


def test_every_pattern_of_a_tokenizer_is_looked_at() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex("(x+)+"), "y")])
    split: Any = pre_tokenizers.Split(Regex("(z+)+"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel()])
    assert list(patterns(tokenizer)) == ["(x+)+", "(z+)+"]


def test_a_pattern_that_gives_up_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    tokenizer: Tokenizer = byte_tokenizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(a|aa)+$b"), "isolated")
    hostile = "a" * 2000
    for tokenize in (
        lambda: TextCodec(tokenizer, None).tokenize(TextPrompt(hostile)),
        lambda: TextCodec(tokenizer, None).pieces(hostile, 9999),
        lambda: TextTokenizer(tokenizer).tokenize([hostile], 9999),
    ):
        with pytest.raises(InvalidRequest, match=r"^text takes too many tries of a pattern of this model's tokenizer"):
            tokenize()
    capfd.readouterr()  # the library says on stderr that it gave up
