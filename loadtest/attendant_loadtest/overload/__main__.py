"""``python -m attendant_loadtest.overload``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
from attendant.bundle import EncoderManifest, read_any_manifest
from attendant.models.encoders import batch_limits
from attendant.models.slots import PROMPT_BUDGET, RUN_COST, SOURCE_BUDGET
from attendant.settings import EncoderSettings
from attendant_proto.v1 import models_pb2, models_pb2_grpc

from attendant_loadtest.bench.arguments import end_on_sigterm
from attendant_loadtest.bench.processes import ServerFailed
from attendant_loadtest.overload.calls import Kind, encoder, mixed, one_token, speech
from attendant_loadtest.overload.offered import capacity_per_s
from attendant_loadtest.overload.oracle import Pace, Replay, judge
from attendant_loadtest.overload.replays import EngineShape, replay_batches, replay_engine
from attendant_loadtest.overload.servers import Server, serving
from attendant_loadtest.overload.windows import Figures, Offer, Window, conserving, figures, table, watch

OFF = ("--no-admission.predict", "--no-admission.end-hopeless")

KINDS = ("one-token", "mixed", "encoder", "speech")


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table, and return the exit code: 0, or 1 with the cause on standard error."""
    end_on_sigterm()
    args = _parser().parse_args(argv)
    try:
        with ExitStack() as stack:
            served = [*args.served, "--log-level", "warning"]
            servers = {
                predicts: stack.enter_context(serving([args.bundle, *([] if predicts else OFF), *served]))
                for predicts in (True, False)
            }
            found = asyncio.run(_measure(args, servers))
    except grpc.RpcError as error:
        print(f"error: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    except (ServerFailed, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.kind}: {found['capacity_per_s']:.1f} calls/s, deadline {args.deadline:g} s\n")
    windows = [Figures(**each) for each in found["windows"]]
    print(table(windows))
    kept = ", ".join(f"{share:.3f} at {load:g}x" for load, share in conserving(windows).items())
    print(f"\ntokens/s with predictions over those without: {kept or 'not known'}")
    if args.out:
        known = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({**known, args.kind: found}, indent=1) + "\n", encoding="utf-8")
    return 0


async def _measure(args: argparse.Namespace, servers: dict[bool, Server]) -> dict[str, Any]:
    model = await _model(servers[True])
    kind = _kind(args, model)
    rates = []
    for server in servers.values():
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            rates.append(await capacity_per_s(kind.call(channel, args.seed), kind.concurrency, args.capacity_seconds))
    per_s = sum(rates) / len(rates)
    print(f"capacity: {per_s:.1f} calls/s", file=sys.stderr)
    windows: list[Window] = []
    for number, load in enumerate(args.loads):
        for predicts, server in servers.items():  # in turn, so that neither has the better hour
            offered = Offer(load, per_s, args.seconds, args.deadline, args.seed + 1 + number)
            window = await watch(kind, server, offered, predicts=predicts)
            windows.append(window)
            told = figures(window, per_s, args.deadline)
            print(f"{load:g}x, predicts {predicts}: goodput {told.goodput:.2f}, late {told.late}", file=sys.stderr)
    replay = _replay(args, model)
    pace = Pace.of([window.counted for window in windows])
    judged = [
        judge(window.ended, args.deadline, pace.in_window(window.counted), replay, args.oracle, args.seed)
        if window.predicts
        else None
        for window in windows
    ]
    found = [figures(window, per_s, args.deadline, verdict) for window, verdict in zip(windows, judged, strict=True)]
    return {
        "model": model.name,
        "capacity_per_s": per_s,
        "deadline_s": args.deadline,
        "seconds": args.seconds,
        "pace": asdict(pace),
        "windows": [asdict(each) for each in found],
    }


async def _model(server: Server) -> models_pb2.Model:
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        models = models_pb2_grpc.ModelsStub(channel)  # type: ignore[no-untyped-call]
        model: models_pb2.Model = await models.GetModel(models_pb2.GetModelRequest())
    return model


def _kind(args: argparse.Namespace, model: models_pb2.Model) -> Kind:
    if args.kind == "encoder":
        return encoder(args.texts, args.inputs, model.encodings[0].vocab_size)
    if args.kind == "speech":
        return speech(args.recording, _source_length(args.bundle))
    if args.kind == "mixed":
        return mixed(args.inputs, args.answers, model.generation.vocab_size)
    return one_token(args.inputs[1], model.generation.vocab_size)


def _source_length(bundle: Path) -> int:
    manifest: Any = read_any_manifest(bundle)
    return int(manifest.encoder_input.max_length)


def _replay(args: argparse.Namespace, model: models_pb2.Model) -> Replay:
    if args.kind == "encoder":
        manifest = read_any_manifest(args.bundle)
        assert isinstance(manifest, EncoderManifest)
        return partial(replay_batches, batch_limits(manifest, EncoderSettings())[1], args.deadline)
    hears = args.kind == "speech"
    limits = model.generation.limits
    budget = SOURCE_BUDGET if hears else PROMPT_BUDGET
    shape = EngineShape(
        limits.max_running, limits.context_length, budget, RUN_COST, prompts_apart=False, has_source=hears
    )
    return partial(replay_engine, shape, args.deadline)


def _span(text: str) -> tuple[int, int]:
    """Reads LEAST-MOST, or one number for both."""
    least, _, most = text.partition("-")
    return int(least), int(most or least)


def _loads(text: str) -> Sequence[float]:
    return [float(part) for part in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m attendant_loadtest.overload",
        description="What a server answers in time when more calls come than it can do: two servers of a bundle, one "
        "with admission.predict, are offered calls that come on their own (a Poisson process), each with a deadline. "
        "An oracle says which of the refused could have been answered.",
    )
    add = parser.add_argument
    add("kind", choices=KINDS, help="of calls")
    add("bundle", type=Path, help="of a model that takes them")
    add("--deadline", type=float, default=2.0, help="of each call, seconds (default: 2)")
    add("--seconds", type=float, default=10.0, help="of each window (default: 10)")
    add("--capacity-seconds", type=float, default=5.0, help="of the closed loop on each server (default: 5)")
    add("--loads", type=_loads, default=_loads("0.5,0.8,1,1.5,2,3"), help="times capacity (default: 0.5,0.8,1,1.5,2,3)")
    add("--inputs", type=_span, default=(64, 64), help="tokens of a prompt or a text, LEAST-MOST (default: 64)")
    add("--answers", type=_span, default=(1, 64), help="tokens of an answer of kind mixed (default: 1-64)")
    add("--texts", type=int, default=8, help="of a call of kind encoder (default: 8)")
    add("--recording", type=Path, help="sound file of kind speech, of one window")
    add("--oracle", type=int, default=50, help="refused calls of a window that the oracle looks at (default: 50)")
    add("--served", nargs=argparse.REMAINDER, default=[], help="more arguments of both servers; the last option")
    add("--seed", type=int, default=1, help="of arrivals and tokens (default: 1)")
    add("--out", type=Path, help="JSON file, which gets the figures under the kind's name")
    return parser


if __name__ == "__main__":
    sys.exit(main())
