"""``attendant embed``, ``classify``, ``tag``, ``answer``, ``rerank``, ``fill-mask``, ``see`` and ``hear``, and
``transcribe`` for models that encode."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from attendant_proto.v1 import encoding_pb2 as pb

from attendant.client.connection import CallFailed, Connection
from attendant.client.encoding_arguments import (
    add_answer_arguments,
    add_classify_arguments,
    add_embed_arguments,
    add_fill_mask_arguments,
    add_hear_arguments,
    add_rerank_arguments,
    add_see_arguments,
    add_tag_arguments,
)
from attendant.client.encoding_output import Output

T = TypeVar("T")


def embed(args: Namespace) -> int:
    """Vectors of texts."""

    def request(texts: list[str]) -> pb.EmbedRequest:
        return pb.EmbedRequest(
            model=args.model,
            inputs=[pb.TextInput(text=text) for text in texts],
            truncate=args.truncate,
            dimensions=args.dimensions,
            normalize=args.normalize,
            per_token=args.per_token,
            prompt=args.prompt,
            no_prompt=args.no_prompt,
        )

    return _for_each(args, _texts(args), request, lambda response: response.embeddings, Output.embedding)


def classify(args: Namespace) -> int:
    """Labels of texts."""

    def request(texts: list[str]) -> pb.ClassifyRequest:
        inputs = [pb.TextInput(text=text) for text in texts]
        return pb.ClassifyRequest(
            model=args.model, inputs=inputs, truncate=args.truncate, top_k=args.top_k, raw_scores=args.raw_scores
        )

    return _for_each(args, _texts(args), request, lambda response: response.results, Output.labels)


def tag(args: Namespace) -> int:
    """Labelled spans of texts."""
    aggregation = f"AGGREGATION_{args.aggregation.upper()}"

    def request(texts: list[str]) -> pb.ClassifyTokensRequest:
        return pb.ClassifyTokensRequest(
            model=args.model,
            texts=texts,
            truncate=args.truncate,
            aggregation=aggregation,
            stride=args.stride,
            keep_outside=args.keep_outside,
        )

    return _for_each(args, _texts(args), request, lambda response: response.results, Output.entities)


def fill_mask(args: Namespace) -> int:
    """Tokens for the masks of texts."""

    def request(texts: list[str]) -> pb.FillMaskRequest:
        return pb.FillMaskRequest(model=args.model, texts=texts, truncate=args.truncate, top_k=args.top_k)

    return _for_each(args, _texts(args), request, lambda response: response.results, Output.masks)


def answer(args: Namespace) -> int:
    """An answer found in a text."""

    def request(questions: list[str]) -> pb.AnswerRequest:
        context = " ".join(args.context) or sys.stdin.buffer.read().decode()
        return pb.AnswerRequest(
            model=args.model,
            inputs=[pb.AnswerRequest.Input(question=question, context=context) for question in questions],
            top_k=args.top_k,
            max_answer_tokens=args.max_answer_tokens,
            stride=args.stride,
            truncate=args.truncate,
            allow_no_answer=args.allow_no_answer,
        )

    return _for_each(args, [args.question], request, lambda response: response.results, Output.answers)


def rerank(args: Namespace) -> int:
    """Documents, the one that fits best first."""

    def request(queries: list[str]) -> pb.RerankRequest:
        return pb.RerankRequest(
            model=args.model,
            query=queries[0],
            documents=list(_texts(args)),
            truncate=args.truncate,
            top_k=args.top_k,
            return_documents=True,
            raw_scores=args.raw_scores,
        )

    return _for_each(args, [args.query], request, lambda response: [response], Output.ranking)


def see(args: Namespace) -> int:
    """Labels or vectors of image files, whichever the model gives."""
    with Connection.of(args) as connection:
        model = connection.find_model(args.model, ("classify_image", "embed_image"))
    if "embed_image" in model.capabilities:
        return _for_each(
            args,
            args.images,
            lambda paths: pb.EmbedImageRequest(model=model.name, images=map(read_file, paths)),
            lambda response: response.embeddings,
            Output.embedding,
        )
    return _for_each(
        args,
        args.images,
        lambda paths: pb.ClassifyImageRequest(
            model=model.name, images=map(read_file, paths), top_k=args.top_k, raw_scores=args.raw_scores
        ),
        lambda response: response.results,
        Output.labels,
    )


def hear(args: Namespace) -> int:
    """Labels of sound files."""

    def request(paths: list[str]) -> pb.ClassifyAudioRequest:
        return pb.ClassifyAudioRequest(
            model=args.model,
            inputs=[pb.AudioInput(wav=read_file(path)) for path in paths],
            truncate=args.truncate,
            top_k=args.top_k,
            raw_scores=args.raw_scores,
        )

    return _for_each(args, args.files, request, lambda response: response.results, Output.labels)


def spell(args: Namespace, model: str) -> int:
    """The words of sound files, by a model that spells what it hears."""

    def request(paths: list[str]) -> pb.TranscribeRequest:
        return pb.TranscribeRequest(model=model, inputs=[pb.AudioInput(wav=read_file(path)) for path in paths])

    return _for_each(args, args.files, request, lambda response: response.results, Output.transcript)


COMMANDS: dict[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "embed": (add_embed_arguments, embed),
    "classify": (add_classify_arguments, classify),
    "tag": (add_tag_arguments, tag),
    "answer": (add_answer_arguments, answer),
    "rerank": (add_rerank_arguments, rerank),
    "fill-mask": (add_fill_mask_arguments, fill_mask),
    "see": (add_see_arguments, see),
    "hear": (add_hear_arguments, hear),
}


def _for_each(
    args: Namespace,
    inputs: Iterable[T],
    request: Callable[[list[T]], Any],
    results: Callable[[Any], Iterable[Any]],
    show: Callable[[Output, str, Any], None],
) -> int:
    """Call for the inputs, ``args.batch`` at a time, so that long ones are answered as they come."""
    output = Output(as_json=args.json)
    waiting = iter(inputs)
    found = False
    try:
        with Connection.of(args, keeping=True) as connection:
            while some := list(islice(waiting, args.batch)):
                found = True
                response = connection.encode(request(some))
                for name, result in zip(some, results(response), strict=True):
                    show(output, str(name), result)
                if args.stats:
                    print(output.statistics(response.usage), file=sys.stderr)
    except UnicodeError:
        print("attendant: error: the text is not valid UTF-8", file=sys.stderr)
        return 2
    output.end()
    if not found:
        print("attendant: error: there is no input", file=sys.stderr)
        return 2
    return 0


def _texts(args: Namespace) -> Iterable[str]:
    """The texts that were given, or the lines of standard input."""
    for text in args.texts or (line.decode().rstrip("\r\n") for line in sys.stdin.buffer):
        text.encode()  # arguments that are not UTF-8 arrive as surrogates
        yield text


def read_file(path: str) -> bytes:
    """What is in a file, or on standard input. Raises CallFailed."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise CallFailed(f"{path}: cannot be read: {error.strerror or error}") from None
