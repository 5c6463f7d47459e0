"""What a server is asked, and its answers as views."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

import numpy as np
from attendant_proto.v1 import explain_pb2 as pb
from attendant_proto.v1 import generation_pb2, models_pb2

from attendant.client.attention import read_attention
from attendant.client.connection import CallFailed, Connection
from attendant.client.encoding import read_file
from attendant.client.explain.arguments import form_of, methods
from attendant.client.explain.stages import stages_of
from attendant.client.explain.views import (
    Attention,
    Attribution,
    Floats,
    Grid,
    Layer,
    Part,
    Reduction,
    Similarity,
    Steps,
    Token,
)
from attendant.core.errors import InvalidRequest
from attendant.tasks.sound import SoundFile

TEXT_TASKS = ("generate", "embed", "classify", "classify_tokens", "answer", "rerank", "fill_mask")
IMAGE_TASKS = ("classify_image", "embed_image")
_RATE = 16_000  # Hz


def find_model(connection: Connection, args: Namespace) -> models_pb2.Model:
    """The model that is meant. Raises CallFailed."""
    attention = methods(args) != ["occlusion"]
    if args.image is not None:
        return connection.find_model(args.model, IMAGE_TASKS, attention=attention)
    if args.audio is not None:
        return connection.find_model(args.model, ("transcribe",), speech=True, attention=attention)
    return connection.find_model(args.model, TEXT_TASKS, attention=attention)


def attention(connection: Connection, args: Namespace, model: models_pb2.Model, text: str) -> Attention:
    """What the model looked at."""
    reads_source = not {"translate", "speech"}.isdisjoint(model.capabilities)
    kind = args.kind or ("cross" if reads_source else "self")
    reduction = _reduction(args)
    subject = _subject(args, model, text)
    request = pb.AttentionRequest(
        model=model.name,
        subject=subject,
        answer=_answer(args, model),
        kind=f"ATTENTION_KIND_{kind.upper()}",
        layers=args.layer,
        heads=args.head,
        reduction=f"ATTENTION_REDUCTION_{reduction.upper().replace('-', '_')}",
        answer_only="generate" in model.capabilities and kind != "encoder" and args.max_tokens != 0,
        without_sink=not args.with_sink and _has_sink(args, model, kind),
    )
    header, layers = _received(connection.attention(request))
    view = Attention(
        model=header.model,
        kind=kind,
        reduction=reduction,
        without_sink=request.without_sink,
        num_layers=header.num_layers,
        num_heads=header.num_heads,
        rows=_rows(header, answer_only=request.answer_only),
        keys=tuple(map(_token, header.keys)),
        layers=layers,
        asked_layers=tuple(args.layer),
        asked_heads=tuple(args.head),
        first_row=header.first_query + request.answer_only,
        num_prompt=header.num_prompt_tokens if kind == "self" else 0,  # other keys are those of a source
        answer=header.answer,
        text="" if args.second else subject.text,  # places in two texts are not told apart
        grid=_grid(header),
        frame_s=header.frame_s,
        heard_s=_seconds(subject.audio) if subject.audio else 0.0,
        source=header.source,
        image=subject.image,
    )
    prefix = view.grid.num_prefix if view.grid is not None and args.token is None else 0
    return view.of_rows(range(prefix)) if prefix else view


def _has_sink(args: Namespace, model: models_pb2.Model, kind: str) -> bool:
    """Whether what is looked at begins with a token that is no part of it or begins a text: not a source that an answer
    looks at, the first frame of a recording, or the first patch of an image that has no class token."""
    if kind == "cross":
        return False
    if args.image is not None:
        return model.attention.grid.num_prefix > 0
    return args.audio is None or (kind == "self" and "generate" in model.capabilities)


def attribution(
    connection: Connection, args: Namespace, model: models_pb2.Model, text: str, method: str
) -> Attribution:
    """What the answer hung on."""
    request = pb.AttributeRequest(
        model=model.name,
        subject=_subject(args, model, text),
        answer=_answer(args, model),
        label=args.label or "",
        method=f"ATTRIBUTION_METHOD_{method.upper()}",
        unit=f"ATTRIBUTION_UNIT_{(args.unit or 'word').upper()}",
        mask=args.mask,
    )
    response = connection.attribute(request)
    parts = tuple(
        Part(part.text, part.start, part.end, part.weight, tuple(part.token_weights)) for part in response.parts
    )
    return Attribution(
        response.model, method, text, parts, response.logprob, response.answer, tuple(response.answer_tokens)
    )


def similarity(connection: Connection, args: Namespace) -> Similarity:
    """How alike a word is in several contexts."""
    words = args.word * len(args.context) if len(args.word) == 1 else args.word or [""] * len(args.context)
    contexts = [pb.WordInContext(text=text, word=word) for text, word in zip(args.context, words, strict=True)]
    response = connection.similarity(pb.SimilarityRequest(model=args.model, contexts=contexts))
    count = len(contexts)
    cosines: Floats = np.array(response.cosines, np.float32).reshape(count, count)
    return Similarity(response.model, tuple(words), tuple(args.context), cosines)


def steps(connection: Connection, args: Namespace, text: str) -> Steps:
    """An answer, and what its time went to."""
    model = connection.find_model(args.model, ("generate",))
    subject = _subject(args, model, text)
    prompt: dict[str, Any] = {"chat": subject.chat} if subject.HasField("chat") else {"text": subject.text}
    tokens = connection.tokenize(models_pb2.TokenizeRequest(model=model.name, **prompt))
    stopping = generation_pb2.Stopping(max_tokens=args.max_tokens)
    request = generation_pb2.GenerateRequest(model=model.name, stopping=stopping, **prompt)
    said: list[str] = []
    finish = generation_pb2.Finish()
    for response in connection.generate(request):
        said.append(response.text)
        if response.HasField("finish"):
            finish = response.finish
    return stages_of(model.name, text, tokens, "".join(said), finish)


def _reduction(args: Namespace) -> Reduction:
    """What was asked for, or what fits the drawing."""
    if args.reduction is not None:
        chosen: Reduction = args.reduction
        return chosen
    form = form_of(args.output) if args.output is not None else ""
    if args.head or form == "html" or (form and args.layer):
        return "none"
    return "mean-heads" if form or args.layer else "mean"


def _subject(args: Namespace, model: models_pb2.Model, text: str) -> pb.Subject:
    translation = None
    if args.from_language or args.to_language:
        translation = generation_pb2.Translation(
            source_language=args.from_language or "", target_language=args.to_language or ""
        )
    subject = pb.Subject(second_text=args.second or "", translation=translation)
    if args.image is not None:
        subject.image = read_file(args.image)
    elif args.audio is not None:
        subject.audio = read_file(args.audio)
    elif not args.raw and "generate" in model.capabilities and model.generation.HasField("chat"):
        subject.chat.messages.add(role="user", content=text)
    else:
        subject.text = text
    return subject


def _answer(args: Namespace, model: models_pb2.Model) -> pb.ExplainedAnswer | None:
    if args.answer is not None:
        return pb.ExplainedAnswer(text=args.answer)
    if args.max_tokens is not None:
        return pb.ExplainedAnswer(max_tokens=args.max_tokens)
    return None


def _received(responses: Iterable[pb.AttentionResponse]) -> tuple[pb.AttentionHeader, tuple[Layer, ...]]:
    answer = read_attention(responses)
    if not answer.layers:
        raise CallFailed("the server gave no weights")
    return answer.header, tuple([Layer(each.layer, each.heads, each.weights) for each in answer.layers])


def _rows(header: pb.AttentionHeader, *, answer_only: bool) -> tuple[Token, ...]:
    """With ``answer_only`` a row is named by the token that it chose."""
    if answer_only and len(header.answer_tokens) == len(header.queries):
        return tuple(Token(text) for text in header.answer_tokens)
    return tuple(map(_token, header.queries))


def _token(token: pb.ExplainedToken) -> Token:
    return Token(token.text, token.start, token.end, token.special)


def _seconds(audio: bytes) -> float:
    """How long a recording is; 0 if that cannot be told from here."""
    num_samples = 0
    try:
        file = SoundFile(audio, _RATE, math.inf, "audio")
        while (part := file.read()) is not None:
            num_samples += len(part)
    except InvalidRequest:
        return 0.0
    return num_samples / _RATE


def _grid(header: pb.AttentionHeader) -> Grid | None:
    if not header.HasField("grid"):
        return None
    return Grid(header.grid.rows, header.grid.columns, header.grid.num_prefix)
