"""Wire messages of attendant.v1.Speech to the front end's calls, and its results back. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from attendant_proto.v1 import speech_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall, TokenPrompt
from attendant.frontend.speech.calls import (
    Partial,
    RawSound,
    Segment,
    SoundData,
    SpeechCall,
    SpeechPart,
    SpeechResult,
    SpeechTask,
)
from attendant.rpc.convert import beam_call, timings_message, usage_message
from attendant.rpc.convert_receipt import seal
from attendant.rpc.convert_sampling import sampling_fields

TASKS: Mapping[int, SpeechTask] = {
    pb.SpeechOptions.TASK_TRANSCRIBE: "transcribe",
    pb.SpeechOptions.TASK_TRANSLATE: "translate",
}


def speech_call(options: pb.SpeechOptions) -> SpeechCall:
    """A call as the front end wants it; what depends on the model is the front end's to check.

    Raises:
        InvalidRequest: a task or a way to stop that is not known.
    """
    if options.task not in TASKS:
        allowed = ", ".join(pb.SpeechOptions.Task.keys())
        raise InvalidRequest("options.task", f"is {int(options.task)}; allowed: {allowed}")
    try:
        beams = beam_call(options.beam_search) if options.HasField("beam_search") else None
    except InvalidRequest as error:
        raise InvalidRequest(f"options.{error.field}", error.reason) from None
    how = GenerationCall(
        options.model,
        TokenPrompt(()),
        beam_search=beams,
        keep_special_tokens=options.keep_special_tokens,
        **sampling_fields(options.sampling),
    )
    return SpeechCall(
        model=options.model,
        how=how,
        task=TASKS[options.task],
        language=options.language,
        timestamps=options.timestamps,
        condition_on_previous_text=options.condition_on_previous_text,
        receipt=options.receipt,
        prompt=options.prompt,
    )


def sound(request: pb.SpeechRequest) -> SoundData | RawSound:
    """A recording.

    Raises:
        InvalidRequest: there is none.
    """
    match request.WhichOneof("audio"):
        case "file":
            return SoundData(request.file)
        case "raw":
            return raw_sound(request.raw)
    raise InvalidRequest("audio", "is missing; allowed: one of file, raw")


def raw_sound(message: pb.RawAudio) -> RawSound:
    """The samples of a message."""
    return RawSound(message.pcm16, message.sampling_rate)


def stream_options(request: pb.SpeechStreamRequest | None) -> pb.SpeechOptions:
    """The options of a stream's first request; ``request`` is None if there was none.

    Raises:
        InvalidRequest: it has none.
    """
    if request is None or request.WhichOneof("content") != "options":
        raise InvalidRequest("options", "are missing; allowed: a first request with options, then sound")
    return request.options


def stream_sound(request: pb.SpeechStreamRequest) -> RawSound:
    """The sound of one of a stream's further requests.

    Raises:
        InvalidRequest: it has none.
    """
    match request.WhichOneof("content"):
        case "raw":
            return raw_sound(request.raw)
        case "options":
            raise InvalidRequest("options", "come twice; allowed: in the first request of a stream only")
    raise InvalidRequest("content", "is missing; allowed: raw, after the first request")


def speech_response(result: SpeechResult) -> pb.SpeechResponse:
    """All of a recording."""
    response = pb.SpeechResponse(
        text=result.text,
        segments=map(_segment, result.segments),
        language=result.language,
        language_probability=result.language_probability,
        duration_s=result.duration_s,
        usage=usage_message(result.usage),
        timings=timings_message(result.timings),
        warnings=result.warnings,
    )
    seal(response, result.receipt)
    return response


def stream_response(part: SpeechPart) -> pb.SpeechStreamResponse:
    """One message of a stream."""
    match part:
        case Segment():
            return pb.SpeechStreamResponse(segment=_segment(part))
        case Partial():
            return pb.SpeechStreamResponse(partial=part.text)
        case SpeechResult():
            return pb.SpeechStreamResponse(finish=speech_response(part))


def _segment(segment: Segment) -> pb.SpeechSegment:
    return pb.SpeechSegment(
        start_s=segment.start_s,
        end_s=segment.end_s,
        text=segment.text,
        token_ids=segment.token_ids,
        mean_logprob=segment.mean_logprob,
        no_speech_probability=segment.no_speech_probability,
    )
