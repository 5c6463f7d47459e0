"""How good two models' answers are: agreement, right answers and labels, given answers, ranks of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import mean

from attendant_proto.v1 import encoding_pb2
from attendant_proto.v1 import generation_pb2 as pb

from attendant.client.compare.cases import BadCase, Case
from attendant.client.compare.contestant import Contestant
from attendant.client.compare.figures import Agreement, accuracy, cosine, macro_f1, rank_agreement, word_f1
from attendant.client.compare.report import Example, Row, Section
from attendant.client.score import Score

Pair = tuple[Contestant, Contestant]


@dataclass(frozen=True, slots=True)
class Answer:
    """A greedy answer: its text, and how many tokens it took, the one that ends it included."""

    text: str
    num_tokens: int


def ask_all(pair: Pair, cases: Sequence[Case], max_tokens: int, concurrency: int) -> tuple[list[Answer], list[Answer]]:
    """Both models' greedy answers, each prompt to one after the other."""

    def both(case: Case) -> tuple[Answer, Answer]:
        return _answer(pair[0], case, max_tokens), _answer(pair[1], case, max_tokens)

    with ThreadPoolExecutor(concurrency) as pool:
        answers = list(pool.map(both, cases))
    return [one for one, _ in answers], [other for _, other in answers]


def answers_section(cases: Sequence[Case], answers: tuple[Sequence[Answer], Sequence[Answer]]) -> Section:
    """How far greedy answers agree, and how near they are to right ones where there are."""
    texts = [(one.text.strip(), other.text.strip()) for one, other in zip(*answers, strict=True)]
    agreement = Agreement.of(texts)
    rows = [
        Row("equal answers", (agreement.exact,), "%"),
        Row("words in common (F1)", (agreement.overlap,), "%"),
        Row("first word that differs, median", (agreement.first_word,)),
        Row("tokens of an answer, mean", tuple(mean(answer.num_tokens for answer in side) for side in answers)),
    ]
    known = [(case.reference.strip(), pair) for case, pair in zip(cases, texts, strict=True) if case.reference]
    if known:
        exact = tuple(mean(pair[side] == right for right, pair in known) for side in (0, 1))
        overlap = tuple(mean(word_f1(pair[side], right) for right, pair in known) for side in (0, 1))
        rows += [
            Row("equal to the right answer", exact, "%", "more"),
            Row("words in common with it (F1)", overlap, "%", "more"),
        ]
    return Section("Answers", tuple(rows))


def likelihood_section(pair: Pair, cases: Sequence[Case]) -> Section | None:
    """How probable both models hold answers that are given; None if none is."""
    given = [case for case in cases if case.answer]
    if not given:
        return None
    scores = [[Score.of(each.connection, _bare(each, case), case.answer) for case in given] for each in pair]
    totals = [[score.logprob for score in side] for side in scores]
    tokens = [sum(len(score.tokens) for score in side) for side in scores]
    preferred = mean(one > other for one, other in zip(*totals, strict=True))
    return Section(
        "Given answers",
        (
            Row("log-likelihood of an answer, mean", tuple(mean(side) for side in totals), "nats", "more"),
            Row("of a token", tuple(sum(side) / n for side, n in zip(totals, tokens, strict=True)), "nats", "more"),
            Row("answers held for more probable", (preferred, mean(b > a for a, b in zip(*totals, strict=True))), "%"),
        ),
        f"over {len(given)} given answers",
    )


def examples(cases: Sequence[Case], answers: tuple[Sequence[Answer], Sequence[Answer]], most: int) -> list[Example]:
    """The first prompts whose answers differ."""
    differing = (
        Example(case.text or case.chat[-1][1], (one.text, other.text))
        for case, one, other in zip(cases, *answers, strict=True)
        if one.text != other.text
    )
    return [example for example, _ in zip(differing, range(most), strict=False)]


def labels_section(pair: Pair, cases: Sequence[Case]) -> Section:
    """Best labels of both models, against each other and against right ones where there are."""
    found = [[_label(each, case) for case in cases] for each in pair]
    rows = [Row("equal labels", (accuracy(found[0], found[1]),), "%")]
    known = [index for index, case in enumerate(cases) if case.label]
    if known:
        right = [cases[index].label for index in known]
        sides = [[side[index] for index in known] for side in found]
        rows += [
            Row("right labels", tuple(accuracy(side, right) for side in sides), "%", "more"),
            Row("F1, mean over labels", tuple(macro_f1(side, right) for side in sides), "%", "more"),
        ]
    return Section("Labels", tuple(rows))


def vectors_section(pair: Pair, cases: Sequence[Case]) -> Section:
    """How both models rank pairs by their cosines, against each other and against given scores.

    Raises:
        BadCase: there are fewer than two pairs.
    """
    pairs = [case for case in cases if case.pair]
    if len(pairs) < 2:
        raise BadCase("models that embed are compared by pairs; allowed: at least two lines with text and pair")
    found = [[_likeness(each, case) for case in pairs] for each in pair]
    rows = [Row("rank agreement of pairs (Spearman)", (rank_agreement(found[0], found[1]),))]
    scored = [(index, case.score) for index, case in enumerate(pairs) if case.score is not None]
    if len(scored) > 1:
        right = [score for _, score in scored]
        sides = [[side[index] for index, _ in scored] for side in found]
        rows.append(Row("with given scores (Spearman)", tuple(rank_agreement(s, right) for s in sides), "", "more"))
    return Section("Vectors", tuple(rows), f"over {len(pairs)} pairs")


def encode_request(contestant: Contestant, case: Case) -> encoding_pb2.EmbedRequest | encoding_pb2.ClassifyRequest:
    """What a model that encodes is asked about a case."""
    if contestant.task == "embed":
        return encoding_pb2.EmbedRequest(model=contestant.name, inputs=case.inputs())
    one = encoding_pb2.TextInput(text=case.text, pair=case.pair)
    return encoding_pb2.ClassifyRequest(model=contestant.name, inputs=[one], top_k=1)


def _answer(contestant: Contestant, case: Case, max_tokens: int) -> Answer:
    request = case.generate_request(
        contestant.name, max_tokens, chats=contestant.chats, translates=contestant.translates
    )
    request.whole = True
    text, num_tokens = "", 0
    for response in contestant.connection.generate(request):
        text += response.text
        if response.HasField("finish"):
            num_tokens = response.finish.usage.completion_tokens
    return Answer(text, num_tokens)


def _bare(contestant: Contestant, case: Case) -> pb.GenerateRequest:
    """The prompt alone: nothing that chooses tokens may stand beside a given answer."""
    request = case.generate_request(contestant.name, 1, chats=contestant.chats, translates=contestant.translates)
    request.ClearField("sampling")
    request.ClearField("stopping")
    return request


def _label(contestant: Contestant, case: Case) -> str:
    (result,) = contestant.connection.encode(encode_request(contestant, case)).results
    return str(result.labels[0].label)


def _likeness(contestant: Contestant, case: Case) -> float:
    one, other = contestant.connection.encode(encode_request(contestant, case)).embeddings
    return cosine(one.values, other.values)
