"""The words of models of every kind: whose are meant, what tokens say, and what is too long to be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from attendant.bundle import EmbeddingHead
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.errors import InvalidRequest, ModelNotFound
from attendant.core.generation import TextPrompt
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.tokenizer import TokenizerService
from attendant.metrics import Metrics
from attendant.models.encoders import EncoderPart
from attendant.models.generators import GeneratorPart
from attendant.models.info import Piece
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles
from attendant.models.lookup import ENCODER_WORDS
from prometheus_client import CollectorRegistry

from tests.frontend.encoding import helpers as encoders
from tests.frontend.generation import helpers as generators
from tests.synthetic import byte_tokenizer, make_synthetic_bundle
from tests.synthetic_encoder import make_image_encoder, make_text_encoder
from tests.system.encoders import BOS, END, add_special_tokens

Models = dict[str, GeneratorPart | EncoderPart]
TOKENIZER = byte_tokenizer()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    vectors = EmbeddingHead(pooling="mean", dimensions=4, prompts={"query": "Q: "})
    found: Models = {"writer": generators.load(make_synthetic_bundle(folder / "writer", name="writer"))}
    for bundle in (
        make_text_encoder(folder / "moods", max_tokens=64),
        make_text_encoder(folder / "vectors", "embed", embedding=vectors, max_tokens=64),
        make_image_encoder(folder / "images"),
    ):
        if bundle.name != "images":
            add_special_tokens(bundle / "tokenizer.json")
        found[bundle.name] = encoders.load(bundle)
    return found


def with_models(models: Models, names: tuple[str, ...], test: Callable[[TokenizerService], Awaitable[None]]) -> None:
    async def main() -> None:
        front_end = FrontEnd(Metrics(CollectorRegistry()), lambda name, error: pytest.fail(f"{name}: {error}"))
        await front_end.start(LoadedBundles(tuple(LoadedModel.of(models[name]) for name in names)))
        try:
            await asyncio.wait_for(test(front_end.tokenizer), 300)
        finally:
            await front_end.close()

    asyncio.run(main())


def ids(text: str) -> tuple[int, ...]:
    return tuple(TOKENIZER.encode(text).ids)


def test_encoders_have_words_as_generators_have(models: Models) -> None:
    async def test(service: TokenizerService) -> None:
        plain = TextPrompt("hi", add_special_tokens=False)
        assert (await service.tokenize("writer", plain)).token_ids == ids("hi")
        found = await service.tokenize("moods", TextPrompt("hi"))
        assert found.tokens == (BOS, "h", "i", END)
        assert (await service.tokenize("moods", plain)).token_ids == ids("hi") == found.token_ids[1:3]
        assert await service.detokenize("moods", found.token_ids) == "hi"
        assert await service.detokenize("moods", found.token_ids, keep_special_tokens=True) == f"{BOS}hi{END}"
        assert await service.detokenize("writer", ids("hi")) == "hi"
        with pytest.raises(InvalidRequest, match="token_ids has 99999 at position 1; allowed: 0 to 261"):
            await service.detokenize("moods", (5, 99_999))
        with pytest.raises(InvalidRequest, match="has no chat template"):
            await service.tokenize("moods", ChatPrompt((ChatMessage("user", "hi"),)))
        with pytest.raises(
            InvalidRequest, match=r"is 'images', which is for task classify_image; .*: 'moods', 'writer'"
        ):
            await service.tokenize("images", plain)
        with pytest.raises(ModelNotFound, match="nobody"):
            await service.tokenize("nobody", plain)

    with_models(models, ("writer", "moods", "images"), test)


def test_a_conversation_is_written_by_the_template(models: Models) -> None:
    async def test(service: TokenizerService) -> None:
        found = await service.tokenize("", ChatPrompt((ChatMessage("user", "hi"),)))
        assert (found.tokens[0], found.tokens[-1]) == ("<|user|>", "<|assistant|>")
        assert await service.detokenize("", found.token_ids) == "hi"

    with_models(models, ("writer",), test)


def test_without_a_name_generators_are_meant_first_or_encoders_where_their_callers_ask(models: Models) -> None:
    async def both(service: TokenizerService) -> None:
        assert (await service.tokenize("", TextPrompt("a"))).token_ids[-1] == ids("a")[0]
        assert len((await service.pieces("", "a", special=True))[1]) == 3

    async def two_encoders(service: TokenizerService) -> None:
        with pytest.raises(ModelNotFound, match="no model is named, and there is not just one"):
            await service.tokenize("", TextPrompt("a"))
        for call in (service.pieces("", "a", special=True), service.detokenize("", (5,), wanted=ENCODER_WORDS)):
            with pytest.raises(InvalidRequest, match=r"model is empty; .* read texts: 'moods', 'vectors'"):
                await call

    async def one_encoder(service: TokenizerService) -> None:
        assert len((await service.tokenize("", TextPrompt("a"))).token_ids) == 3

    async def none(service: TokenizerService) -> None:
        assert [piece.token_id for piece in (await service.pieces("", "a", special=False))[1]] == [*ids("a")]

    with_models(models, ("writer", "moods", "images"), both)
    with_models(models, ("moods", "vectors"), two_encoders)
    with_models(models, ("moods", "images"), one_encoder)
    with_models(models, ("writer",), none)


def test_pieces_say_where_they_stand(models: Models) -> None:
    async def test(service: TokenizerService) -> None:
        text, pieces = await service.pieces("", "a\u00e9", special=True, prompt="query")
        assert text == "Q: a\u00e9"
        places = [(0, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (4, 5), (0, 0)]
        assert [(piece.start, piece.end) for piece in pieces] == places
        assert [piece.special for piece in pieces] == [True, *[False] * 6, True]
        assert pieces[1] == Piece(ids("Q")[0], "Q", special=False, start=0, end=1)
        with pytest.raises(InvalidRequest, match="prompt is 'doc'; allowed: 'query'"):
            await service.pieces("", "a", special=True, prompt="doc")

    async def none(service: TokenizerService) -> None:
        with pytest.raises(InvalidRequest, match="prompt is 'query'; allowed: none, as this model has no prompts"):
            await service.pieces("", "a", special=True, prompt="query")

    with_models(models, ("vectors",), test)
    with_models(models, ("moods",), none)


def test_a_text_is_read_as_far_as_a_call_could_and_no_further(models: Models) -> None:
    async def test(service: TokenizerService) -> None:
        in_windows = 64 + 255 * 62
        text = "a" * in_windows
        assert len((await service.tokenize("moods", TextPrompt(text))).token_ids) == in_windows + 2
        endless = TextPrompt(text * 30)
        for name, limit in (("moods", in_windows), ("writer", 255)):
            with pytest.raises(InvalidRequest, match=rf"text has more than \d+ tokens .*; allowed: at most {limit}$"):
                await service.tokenize(name, endless)
        with pytest.raises(InvalidRequest, match="text has more than"):
            await service.pieces("moods", endless.text, special=True)

    with_models(models, ("writer", "moods"), test)
