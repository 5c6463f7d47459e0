"""Templates that would take all time or memory there is; as a program, renders each within limits of its process.

It prints a line of JSON for each: what it is called, how it was refused (None if it was not), and the processor time.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from attendant.bundle import ChatTemplate, TemplateRefused

MEMORY = 2**30
"""Bytes that the process may have in all. """
SECONDS = 120
"""Of processor time, after which it is ended."""

GROWS = "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = VALUE %}{% endfor %}"
BIG = "{% set a = 'a' * 4000000 %}"
LONG = "{% set x = range(99999) | list %}"


def grows(value: str, then: str = "") -> str:
    """A template with a value that becomes another one again and again."""
    return GROWS.replace("VALUE", value) + then


TEMPLATES = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops without a match": "{% for a in range(99999) %}{% for b in range(99999) if b < 0 %}{% endfor %}{% endfor %}",
    "loops of filters": LONG + "{% for a in x %}{% set y = x | sort | unique | list %}{% endfor %}",
    "loops of tests": LONG + "{% for a in x %}{% set y = x | select('in', x) | list %}{% endfor %}",
    "loops of comparisons": LONG + "{% for a in x %}{% set y = -1 in x or -2 in x or -3 in x %}{% endfor %}",
    "comparisons without a loop": BIG + "{% if " + " or ".join(["'b' in a"] * 30000) + " %}{% endif %}",
    "recursion": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(200) }}",
    "recursion without an end": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "recursion of a loop": "{% for a in [[[]]] recursive %}{{ loop([[[]], [[]]]) }}{% endfor %}",
    "a power": "{{ 9 ** (9 ** 9) }}",
    "a power by a filter": "{{ 1.5 | round(999999999, 'ceil') }}",
    "products": grows("(ns.x | length + 9) * (ns.x | int + 9 ** 5000)", "") + "{{ 9 ** 5000 * 9 ** 5000 }}",
    "a long text": "{{ 'x' * 10 ** 11 }}",
    "a long list": "{{ [1] * 10 ** 11 }}",
    "text twice": grows("ns.x ~ ns.x"),
    "text and text": grows("ns.x + ns.x"),
    "text in a set": grows("ns.x") + "{% set x %}" + "{% set y %}x{% endset %}{{ y }}" * 2 + "{% endset %}"
    "{% for i in range(99999) %}{% set y %}{{ messages }}{% for j in range(99) %}{{ i * 'xxxxxxxxx' }}{% endfor %}"
    "{% endset %}{% endfor %}",
    "output": "{% for i in range(99999) %}{{ 'x' * 4000 }}{% endfor %}",
    "lists of lists": grows("[ns.x, ns.x]", "{{ ns.x }}"),
    "lists of lists as JSON": grows("[ns.x, ns.x]", "{{ ns.x | tojson }}"),
    "objects of objects": grows("{'a': ns.x, 'b': ns.x}", "{{ ns.x | string }}"),
    "objects by a call": grows("dict(a=ns.x, b=ns.x)", "{{ ns.x ~ '' }}"),
    "objects from keys": grows("dict.fromkeys('ab', ns.x)", "{{ ns.x | upper }}"),
    "namespaces of namespaces": grows("namespace(a=ns.x, b=ns.x)", "{{ ns.x }}"),
    "equal lists of lists": grows("(ns.x, ns.x)") + grows("(ns.x, ns.x)").replace("ns", "n2") + "{{ ns.x == n2.x }}",
    "lists in groups": grows("([ns.x] * 99) | batch(2) | list", "{{ ns.x | join }}"),
    "a width": "{{ 'x' | center(10 ** 10) }}",
    "a width of a method": "{{ 'x'.ljust(10 ** 10) }}",
    "tabs": "{{ ('\\t' * 1000000).expandtabs(1000) }}",
    "a width of a format": "{{ '%1000000000d' % 1 }}",
    "a width of a filter for formats": "{{ '%1000000000d' | format(1) }}",
    "a width that is given": "{{ '%*d' % (1000000000, 1) }}",
    "a width of format()": "{{ '{:>1000000000}'.format(1) }}",
    "a width of format() that is given": "{{ '{:>{}}'.format(1, 10 ** 10) }}",
    "a text often": BIG + "{{ ('{0}' * 100000).format(a) }}",
    "a text often by %": BIG + "{{ ('%(a)s' * 100000) % {'a': a} }}",
    "a text often by a join": BIG + "{{ ([''] * 100000) | join(a) }}",
    "a text often by a join of a method": BIG + "{{ a.join([''] * 100000) }}",
    "a text in place of another": BIG + "{{ a.replace('a', a) }}",
    "a text in place of another by a filter": BIG + "{{ a | replace('a', a) }}",
    "an indent": "{{ ('\\n' * 4000000) | indent(900) }}",
    "an indent of text": BIG + "{{ ('\\n' * 400000) | indent(a) }}",
    "an indent of JSON": grows("[ns.x]", LONG + "{{ [ns.x, x] | tojson(indent=900) }}"),
    "bytes": "{{ (1).to_bytes(10 ** 10, 'big') }}",
    "a table of characters": BIG + "{{ a.translate({97: a}) }}",
    "many groups": "{{ [1] | slice(10 ** 9) | list }}",
    "fill": "{{ [1] | batch(10 ** 9, 'x') | list }}",
    "a sum of lists": LONG + "{{ x | batch(1) | sum(start=[]) }}",
    "from the right": BIG + "{{ a.rfind('b' + a[:2000000]) }}",
    "characters at the ends": "{{ ('b' * 4000000).strip('a' * 3000000 ~ 'b') }}",
    "characters at the ends by a filter": "{{ ('b' * 4000000) | trim('a' * 3000000 ~ 'b') }}",
    "slices": BIG + "{{ [" + ", ".join(["a[1:]"] * 30000) + "] | length }}",
    "pieces": BIG + "{{ [" + ", ".join(["a.split('a')"] * 900) + "] | length }}",
    "time": "{{ strftime_now('%99999999Y' * 1000) }}",
    "a long number": "{{ " + "9" * 5000 + " }}",
    "a long source": "x" * 2**21,
    "a tag without an end": BIG + "{{ ('<!--' * 900000) | striptags }}",
    "a tag of escaped text": "{{ (('<!--' * 900000) | escape).striptags() }}",
    "words that are none": "{{ lipsum(n=10 ** 9) }}",
}


def main() -> None:
    """Renders each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    for name, source in TEMPLATES.items():
        before = time.process_time()
        try:
            ChatTemplate(source, {}).render([{"role": "user", "content": "hi"}])
        except TemplateRefused as error:
            said = str(error)
        else:
            said = None
        sys.stdout.write(json.dumps([name, said, round(time.process_time() - before, 2)]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
