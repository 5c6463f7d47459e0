"""Words in contexts: cosines against hidden states that are asked for by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.core.attention import AttentionSubject
from attendant.core.errors import InvalidRequest
from attendant.frontend.explain.calls import SimilarityCall, WordInContext
from attendant.frontend.front_end import FrontEnd

from tests.frontend.explain.helpers import all_hidden, ids_of, with_demos

FILMS = SimilarityCall(
    "sentiment",
    (
        WordInContext("A lovely film.", "film"),
        WordInContext("A dull film, and no film for me.", "film", 1),
        WordInContext("A lovely dinner."),
    ),
)


def cosine(one: Any, other: Any) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_cosines_are_those_of_the_words_hidden_states() -> None:
    async def test(front_end: FrontEnd) -> None:
        found = await front_end.explain.similarity(FILMS)
        vectors = []
        for context, tokens in zip(FILMS.contexts, found.words, strict=True):
            ids = np.array(ids_of("sentiment", context.text))
            arrays = {"input_ids": ids, "token_type_ids": np.zeros_like(ids)}
            numbers = {"A lovely film.": [3], "A lovely dinner.": list(range(1, len(ids) - 1))}.get(context.text, [7])
            assert [token.id for token in tokens] == ids[numbers].tolist()
            vectors.append(all_hidden("sentiment", AttentionSubject(arrays))[numbers].astype(np.float64).mean(axis=0))
        expected = [[cosine(one, other) for other in vectors] for one in vectors]
        assert np.allclose(found.cosines, expected, atol=1e-6)
        assert found.cosines.shape == (3, 3)

    with_demos(test, "sentiment")


def test_a_decoders_words_depend_on_what_stands_before() -> None:
    async def test(front_end: FrontEnd) -> None:
        contexts = (WordInContext("my order", "order"), WordInContext("to order", "order"))
        found = await front_end.explain.similarity(SimilarityCall("", contexts))
        vectors = [
            all_hidden("bundle", AttentionSubject({"input_ids": np.array(ids_of("bundle", each.text))}))[-1]
            for each in contexts
        ]
        assert [[token.text for token in word] for word in found.words] == [[" order"], [" order"]]
        assert found.cosines[0, 1] == pytest.approx(cosine(*vectors), abs=1e-6)

    with_demos(test, "bundle")


@pytest.mark.parametrize(
    ("field", "contexts"),
    [
        ("contexts", FILMS.contexts[:1]),
        ("contexts", FILMS.contexts[:1] * 65),
        ("contexts[1].word", (FILMS.contexts[0], WordInContext("A dinner.", "film"))),
        ("contexts[1].occurrence", (FILMS.contexts[0], WordInContext("A film.", "film", 1))),
        ("contexts[0].occurrence", (WordInContext("A film.", "", 1), FILMS.contexts[0])),
        ("contexts[1].word", (FILMS.contexts[0], WordInContext("A film.", " "))),
        ("contexts[1].text", (FILMS.contexts[0], WordInContext("word " * 600))),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, contexts: tuple[WordInContext, ...]) -> None:
    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await front_end.explain.similarity(replace(FILMS, contexts=contexts))
        assert caught.value.field == field

    with_demos(test, "sentiment")


def test_a_model_that_reads_a_source_has_no_words_in_context() -> None:
    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(InvalidRequest, match="reads a source"):
            await front_end.explain.similarity(replace(FILMS, model="translator"))

    with_demos(test, "translator")
