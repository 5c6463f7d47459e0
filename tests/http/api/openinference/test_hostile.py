"""Requests that were cut, mixed up or told hostile values: each is answered or refused, and never fails the server."""

from __future__ import annotations

import json
import logging
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.frontend.encoding.helpers import load as load_encoder
from tests.frontend.generation.helpers import load
from tests.http.api.openinference.helpers import LENGTH, Both, in_binary, in_json, with_both
from tests.rpc.openinference.helpers import tensor
from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder

EACH = 100
VALUES = [
    *(b"-1", b"0", b"3", b"1e999", b"-1e999", b"NaN", b"Infinity", b"9223372036854775808", b"-9223372036854775809"),
    *(b"1" * 5000, b"1.5", b"null", b"true", b'""', b'"a"', b"[]", b"[[[]]]", b"{}", b'"\\ud800"', b'"\\u0000"'),
    *(b"[" * 3000, b'{"a":' * 3000, b"\xff\xfe", b"", b"[null]", b'[{"a": 1}]', b'"INT64"', b'"BYTES"', b'"FP16"'),
]
PART = re.compile(rb'-?\d+|"(?:[^"\\]|\\.)*"|\[|\]|true|false|[{},:]')


def spoilt(body: bytes, chance: random.Random) -> bytes:
    """A body that is almost ``body``."""
    place = chance.randrange(len(body) + 1)
    match chance.randrange(5):
        case 0:
            return body[:place]
        case 1:
            return body[:place] + chance.randbytes(chance.randrange(1, 5)) + body[place:]
        case 2:
            end = chance.randrange(place, len(body) + 1)
            return body[:place] + body[end:]
    parts = list(PART.finditer(body))
    part = chance.choice(parts)
    return body[: part.start()] + chance.choice(VALUES) + body[part.end() :]


@pytest.fixture
def _log_as_it_was() -> Iterator[None]:
    """Some of the requests change what is logged."""
    logger = logging.getLogger("attendant")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.mark.usefixtures("_log_as_it_was")
@pytest.mark.parametrize("seed", [1])
def test_whatever_comes_is_answered_or_refused(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    ids = tensor("input_ids", np.array([[5, 6, 7], [8, 9, 0]]), "INT64")
    mask = tensor("attention_mask", np.array([[1, 1, 1], [1, 1, 0]]), "INT64")
    outputs = [{"name": "score", "parameters": {"binary_data": True}}, {"name": "label"}]
    binary, headers = in_binary(ids, mask, outputs=outputs, parameters={"top_k": 1}, id="7")
    flat = {"text_input": "hello", "parameters": {"max_tokens": 2, "temperature": 0.5}, "stop": ["x"], "seed": 3}
    good: list[tuple[str, bytes, dict[str, str]]] = [
        ("/v2/models/labels/infer", json.dumps(in_json(ids, mask, outputs=outputs, nested=True)).encode(), {}),
        ("/v2/models/labels/infer", binary, headers),
        ("/v2/models/synthetic/generate", json.dumps(flat).encode(), {}),
        ("/v2/models/synthetic/generate_stream", json.dumps(flat).encode(), {}),
        ("/v2/models/labels/generate", b'{"text": ["fine", "no"], "parameters": {"top_k": 1}}', {}),
        ("/v2/logging", b'{"log_info": true, "log_verbose_level": 0}', {}),
        ("/v2/trace/setting", b'{"trace_rate": "5", "trace_level": ["OFF"]}', {}),
        ("/v2/repository/index", b'{"ready": true}', {}),
        ("/v2/repository/models/labels/unload", b'{"parameters": {"unload_dependents": false}}', {}),
    ]

    async def test(server: Both) -> None:
        async def ask(path: str, body: bytes, said: dict[str, str]) -> httpx.Response:
            return await server.post(path, body, headers=said)

        before = [(await ask(*each)).content for each in good[:2]]
        seen: Counter[int] = Counter()
        for path, body, said in good:
            for _ in range(EACH):
                if LENGTH in said and chance.random() < 0.3:
                    answer = await ask(path, body, {LENGTH: str(chance.randrange(len(body) + 2))})
                else:
                    answer = await ask(path, spoilt(body, chance), said)
                seen[answer.status_code] += 1
                assert answer.status_code in (200, 400, 403, 404, 501), (path, answer.text)
                if answer.status_code != 200:
                    assert list(answer.json()) == ["error"]
                    assert len(answer.content) < 5000
        assert seen[200] > 5
        assert seen[400] > 200
        assert [(await ask(*each)).content for each in good[:2]] == before

    generator = make_synthetic_bundle(tmp_path / "synthetic", name="synthetic")
    with_both(test, load_encoder(make_text_encoder(tmp_path / "labels")), load(generator))
