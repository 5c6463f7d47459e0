"""``attendant transcribe``: recordings, by whichever kind of model the server has."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Iterator

import numpy as np
from attendant_proto.v1 import speech_pb2 as pb
from attendant_proto.v1.generation_pb2 import BeamSearch

from attendant.client.connection import CallFailed, Connection
from attendant.client.encoding import read_file, spell
from attendant.client.keeping import Keeping
from attendant.client.speech_output import SpeechOutput
from attendant.core.errors import InvalidRequest
from attendant.tasks.sound import SoundFile

STREAM_RATE = 16_000  # Hz
PIECE_S = 0.2  # seconds of sound in a message


def transcribe(args: Namespace) -> int:
    """What is said in sound files."""
    with Connection.of(args, keeping=True) as connection:
        model = connection.find_model(args.model, ("transcribe",), speech=True)
        if "speech" not in model.capabilities:
            return _spell(args, model.name)
        options = _options(args, model.name)
        output = SpeechOutput(as_json=args.json, timestamps=args.timestamps)
        for path in args.files:
            if args.stream:
                result = _stream(connection, options, path, output)
            else:
                result = connection.transcribe(pb.SpeechRequest(options=options, file=read_file(path)))
                output.result(path, result)
            if args.stats:
                output.statistics(result)
    return 0


def _spell(args: Namespace, model: str) -> int:
    flags = ("language", "translate", "timestamps", "beams", "stream")
    given = [f"--{flag}" for flag in flags if getattr(args, flag) not in (None, False)]
    if given:
        raise CallFailed(f"{', '.join(given)}: only for models that write what they hear; {model!r} is none")
    return spell(args, model)


def _options(args: Namespace, model: str) -> pb.SpeechOptions:
    return pb.SpeechOptions(
        model=model,
        task=pb.SpeechOptions.TASK_TRANSLATE if args.translate else pb.SpeechOptions.TASK_TRANSCRIBE,
        language=args.language,
        timestamps=args.timestamps,
        beam_search=None if args.beams is None else BeamSearch(num_beams=args.beams),
        receipt=Keeping.of(args) is not None,
    )


def _stream(connection: Connection, options: pb.SpeechOptions, path: str, output: SpeechOutput) -> pb.SpeechResponse:
    """Send a file as if it were being recorded, and show what comes."""
    pieces = _pieces(path)
    finish = pb.SpeechResponse()
    for response in connection.stream_transcribe(_recording(options, pieces)):
        match response.WhichOneof("content"):
            case "segment":
                output.segment(path, response.segment)
            case "partial":
                output.partial(path, response.partial)
            case "finish":
                finish = response.finish
    output.finish(path, finish)
    whole = pb.RawAudio(pcm16=b"".join(pieces), sampling_rate=STREAM_RATE)
    connection.keep(pb.SpeechRequest(options=options, raw=whole), (finish,))
    return finish


def _recording(options: pb.SpeechOptions, pieces: list[bytes]) -> Iterator[pb.SpeechStreamRequest]:
    yield pb.SpeechStreamRequest(options=options)
    begin = time.monotonic()
    for index, piece in enumerate(pieces, start=1):
        time.sleep(max(0.0, begin + index * PIECE_S - time.monotonic()))
        yield pb.SpeechStreamRequest(raw=pb.RawAudio(pcm16=piece, sampling_rate=STREAM_RATE))


def _pieces(path: str) -> list[bytes]:
    """A file as pieces of 16-bit samples at :data:`STREAM_RATE`."""
    parts = []
    try:
        file = SoundFile(read_file(path), STREAM_RATE, math.inf, path)
        while (part := file.read()) is not None:
            parts.append(np.clip(np.rint(part * 2.0**15), -(2**15), 2**15 - 1).astype("<i2"))
    except InvalidRequest as error:
        raise CallFailed(str(error)) from None
    samples = np.concatenate(parts)  # [n] int16
    size = int(PIECE_S * STREAM_RATE)
    return [samples[start : start + size].tobytes() for start in range(0, len(samples), size)]
