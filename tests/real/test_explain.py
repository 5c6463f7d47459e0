"""What trained models look at, through a real server: the animal of "it", two Apples, a voice word by word.

Which head does what was found by looking at transformers' own eager attention, and is held against it here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from attendant.client.attention import read_attention
from attendant.client.connection import Connection
from attendant_proto.v1 import explain_pb2 as pb

from tests.real.conftest import ServerOf, _made

SPEECH = Path(__file__).parent / "speech"
ANIMAL = "The animal didn't cross the street because it was tired"
ANTECEDENT = {"minilm": (3, 1, 0.75), "smollm2": (9, 2, 0.59)}
"""Layer and head, from 0, whose weight from "it" is largest on "animal"; and that weight, the first token taken out."""
PRONOUNS = (  # what a pronoun stands for, in sentences of other words
    (ANIMAL, "it", "animal"),
    ("The dog didn't eat the bone because it was sick", "it", "dog"),
    ("The robot didn't open the door because it was broken", "it", "robot"),
    ("The boy lost the game because he was tired", "he", "boy"),
    ("The cat ignored the mouse because it was sleepy", "it", "cat"),
)
FRUIT = (
    "She ate a red apple after lunch.",
    "The apple fell from the tree in the orchard.",
    "He peeled an apple and cut it into slices.",
    "I picked a ripe apple from the basket.",
    "The child bit into a sweet apple.",
)
FIRM = (
    "Apple released a new phone in September.",
    "The lawyers of Apple sued a rival over patents.",
    "Engineers at Apple design their own chips.",
    "Apple stock crashed after the keynote.",
)
NEAR_TORCH = 1e-4
FRAME_S = 0.02
STEP_BACK = 2  # frames that a word's peak may lie before that of the word before it
LEAST_RANK = 0.99  # rank correlation of words and the times that they are looked for
RECORDINGS = 10

Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=ANTECEDENT)
def reader(request: pytest.FixtureRequest, server_of: ServerOf) -> Iterator[tuple[str, Path, Connection]]:
    """A model that reads: its name, its folder, and a connection to a server of its float32 bundle."""
    folder: Path = request.getfixturevalue(request.param)
    with server_of(_made(request.param, "--bundle", "fp32")) as server, Connection(server.grpc, 60) as connection:
        yield request.param, folder, connection


def received(connection: Connection, request: pb.AttentionRequest) -> tuple[pb.AttentionHeader, Floats]:
    """The header and the weights, [layers, heads, queries, keys] float32."""
    answer = read_attention(connection.attention(request))
    return answer.header, np.stack([layer.weights for layer in answer.layers])


def torch_attention(folder: Path, text: str) -> tuple[list[str], Floats]:
    """The tokens of a text, and transformers' eager attention to them: [layers, heads, queries, keys] float32."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    given = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        layers = model(**given, output_attentions=True).attentions
    words = [tokenizer.decode([token]).strip() for token in given.input_ids[0].tolist()]
    return words, torch.stack(layers)[:, 0].numpy()


def test_weights_are_those_of_torch(reader: tuple[str, Path, Connection]) -> None:
    """All of them, of a float32 bundle."""
    name, folder, connection = reader
    header, weights = received(connection, read(ANIMAL, name))
    words, wanted = torch_attention(folder, ANIMAL)
    assert [token.text.strip() for token in header.keys] == words
    np.testing.assert_allclose(weights, wanted, atol=NEAR_TORCH)


def test_it_is_the_animal(reader: tuple[str, Path, Connection]) -> None:
    """One head's row of "it" has its largest weight on "animal", the first token taken out. It is no head that looks at
    the animal from everywhere: other words behind it do so a third as much."""
    name, folder, connection = reader
    layer, head, weight = ANTECEDENT[name]
    words, wanted = torch_attention(folder, ANIMAL)
    rows = without_sink(wanted[layer, head])  # [queries, keys]
    it, animal = words.index("it"), words.index("animal")
    _, found = received(connection, read(ANIMAL, name, layers=[layer], heads=[head], without_sink=True))
    np.testing.assert_allclose(found[0, 0, it], rows[it], atol=NEAR_TORCH)
    assert words[int(found[0, 0, it].argmax())] == "animal"
    assert found[0, 0, it, animal] == pytest.approx(weight, abs=0.01)
    others = [number for number in range(animal + 1, len(words)) if number != it]
    assert found[0, 0, others, animal].mean() < weight / 3


def test_smollm2_finds_what_pronouns_stand_for(smollm2: Path, server_of: ServerOf) -> None:
    """The same head does so in every sentence: it is not the animal that it knows."""
    layer, head, _ = ANTECEDENT["smollm2"]
    with server_of(_made(smollm2.name, "--bundle", "fp32")) as server, Connection(server.grpc, 60) as connection:
        for text, pronoun, noun in PRONOUNS:
            header, found = received(connection, read(text, "smollm2", layers=[layer], heads=[head], without_sink=True))
            words = [token.text.strip() for token in header.keys]
            row, at = found[0, 0, words.index(pronoun)], words.index(noun)
            assert words[int(row.argmax())] == noun, text
            others = [number for number in range(at + 1, len(words)) if words[number] != pronoun]
            assert row[at] > 1.5 * found[0, 0, others, at].mean(), text


def read(text: str, name: str, **asked: Any) -> pb.AttentionRequest:
    """A text as it stands, without an answer."""
    nothing = pb.ExplainedAnswer(max_tokens=0) if name == "smollm2" else None
    return pb.AttentionRequest(subject=pb.Subject(text=text), answer=nothing, **asked)


def without_sink(weights: Floats) -> Floats:
    """The first token taken out of every row; the others sum up to 1. [queries, keys] float32."""
    rest = weights.copy()
    rest[:, 0] = 0
    return rest / np.maximum(rest.sum(axis=-1, keepdims=True), 1e-12)


def test_minilm_tells_the_two_apples_apart(minilm: Path, server_of: ServerOf) -> None:
    """Any two fruits are more alike than any fruit and the firm; so are any two firms."""
    contexts = [
        pb.WordInContext(text=text, word=word) for texts, word in ((FRUIT, "apple"), (FIRM, "Apple")) for text in texts
    ]
    with server_of(_made(minilm.name, "--bundle", "fp32")) as server, Connection(server.grpc, 60) as connection:
        response = connection.similarity(pb.SimilarityRequest(contexts=contexts))
    assert [[token.text.strip() for token in word.tokens] for word in response.words] == [["apple"]] * len(contexts)
    cosines = np.array(response.cosines, np.float32).reshape(len(contexts), len(contexts))
    np.testing.assert_allclose(cosines, torch_cosines(minilm, [*FRUIT, *FIRM]), atol=NEAR_TORCH)
    kind = np.array([*(0 for _ in FRUIT), *(1 for _ in FIRM)])
    same, other = kind[:, None] == kind, ~np.eye(len(kind), dtype=bool)
    within, across = cosines[same & other], cosines[~same]
    assert across.max() < within.min()
    assert within.mean() - across.mean() > 0.15  # measured .18


def torch_cosines(folder: Path, texts: list[str]) -> Floats:
    """Between what "apple" became in each text, the last layer's, by torch."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    apple, rows = tokenizer.convert_tokens_to_ids("apple"), []
    for text in texts:
        given = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**given).last_hidden_state[0]
        rows.append(hidden[given.input_ids[0].tolist().index(apple)])
    vectors: Floats = torch.nn.functional.normalize(torch.stack(rows)).numpy()
    return vectors @ vectors.T


@pytest.fixture(scope="module")
def listener(whisper: Path, server_of: ServerOf) -> Iterator[Connection]:
    with server_of(_made(whisper.name, "--bundle", "fp32")) as server, Connection(server.grpc, 120) as connection:
        yield connection


def test_whisper_listens_from_word_to_word(whisper: Path, listener: Connection) -> None:
    """The heads that OpenAI names for alignment (in the checkpoint's generation_config) look further along the
    recording with every word, and not behind its end."""
    for row in recordings():
        samples, rate = soundfile.read(SPEECH / row["file"])
        header, weights = received(listener, asked(row))
        assert header.frame_s == pytest.approx(FRAME_S)
        assert "".join(header.answer_tokens).strip() == row["text"]
        words = [number for number, token in enumerate(header.answer_tokens) if any(map(str.isalnum, token))]
        heads = [weights[layer, head] for layer, head in alignment_heads(whisper)]
        peaks = np.mean(heads, axis=0)[words].argmax(axis=-1)  # [words]
        assert (np.diff(peaks) >= -STEP_BACK).all(), (row["text"], peaks.tolist())
        assert rank_correlation(peaks) >= LEAST_RANK, (row["text"], peaks.tolist())
        assert peaks[-1] * FRAME_S <= len(samples) / rate
        assert peaks[-1] * FRAME_S >= 0.6 * len(samples) / rate, "it came as far as the last words"


def test_whisper_listens_as_torch_does(whisper: Path, listener: Connection) -> None:
    row = recordings()[0]
    header, weights = received(listener, asked(row))
    np.testing.assert_allclose(weights, torch_cross_attention(whisper, row, list(header.answer_ids)), atol=NEAR_TORCH)


def recordings() -> list[dict[str, str]]:
    with (SPEECH / "sentences.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))[:RECORDINGS]


def asked(row: dict[str, str]) -> pb.AttentionRequest:
    """What was said is given, so that nothing hangs on what the model hears."""
    return pb.AttentionRequest(
        subject=pb.Subject(audio=(SPEECH / row["file"]).read_bytes()),
        answer=pb.ExplainedAnswer(text=f" {row['text']}"),
        kind=pb.ATTENTION_KIND_CROSS,
        answer_only=True,
    )


def alignment_heads(folder: Path) -> list[tuple[int, int]]:
    from transformers import GenerationConfig

    heads: Any = GenerationConfig.from_pretrained(folder).alignment_heads
    assert len(heads) == 8
    return [(layer, head) for layer, head in heads]


def rank_correlation(values: npt.NDArray[Any]) -> float:
    """Spearman's, of values and their places; what is equal has the mean rank."""
    ranks = np.array([(values < value).sum() + ((values == value).sum() - 1) / 2 for value in values])
    return float(np.corrcoef(ranks, np.arange(len(values)))[0, 1])


def torch_cross_attention(folder: Path, row: dict[str, str], answer: list[int]) -> Floats:
    """The rows that chose an answer, [layers, heads, tokens, frames] float32."""
    import torch
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    loaded = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    samples, rate = soundfile.read(SPEECH / row["file"], dtype="float32")
    features = WhisperFeatureExtractor.from_pretrained(folder)(samples, sampling_rate=rate, return_tensors="pt")
    config = loaded.generation_config
    start = [config.decoder_start_token_id, config.no_timestamps_token_id]
    with torch.no_grad():
        out = loaded.eval()(
            features.input_features, decoder_input_ids=torch.tensor([[*start, *answer]]), output_attentions=True
        )
    weights: Floats = torch.stack(out.cross_attentions)[:, 0].numpy()
    return weights[:, :, 1:-1]  # from the last token of the start on, which chose the first of the answer
