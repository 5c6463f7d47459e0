"""The `attendant export` command."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from attendant_export.errors import ExportError

if TYPE_CHECKING:
    from attendant.bundle import Parity

    from attendant_export.auto import Auto
    from attendant_export.recipe import RecipeRequest

_USER_ERROR, _INTERRUPTED = 2, 130
_TASKS = (  # those of attendant_export.encoders.tasks, whose imports are heavy
    *("generate", "classify", "classify_tokens", "answer", "embed", "rerank", "fill_mask"),
    *("classify_image", "embed_image", "classify_audio", "transcribe"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command. Imports nothing heavy."""
    _add_source(parser)
    parser.add_argument(
        "out", metavar="OUT", nargs="?", type=Path, help="where the bundle goes: a folder that does not exist yet"
    )
    parser.add_argument(
        "--task",
        choices=_TASKS,
        help="what the model is served for (default: what its config and files say it was made for)",
    )
    parser.add_argument(
        "--target",
        choices=["cpu", "cuda"],
        default="cpu",
        help="what the bundle runs on: cpu keeps the KV cache in slots, cuda (NVIDIA GPUs) in pages (default: cpu)",
    )
    _add_quality(parser)
    parser.add_argument(
        "--pooling",
        choices=["mean", "cls", "last", "max", "mean_sqrt_len", "weighted_mean"],
        help="how task embed makes one vector of a row's tokens (default: as the model's folder says, or mean)",
    )
    parser.add_argument(
        "--context-length",
        type=_positive,
        metavar="N",
        help="most tokens of prompt and answer together (default: what the model takes)",
    )
    parser.add_argument("--name", help="the model's name for clients (default: the last part of SOURCE)")
    parser.add_argument(
        "--attention",
        choices=["auto", "fused", "eager", "none"],
        default="auto",
        help="what gives the model's attention to those who ask what it looked at; fused: its served graph with more "
        "outputs, a small file beside it; eager: a graph of its own, with all weights again in float32; auto: fused "
        "where the model's attention is such that it goes, else none (default: auto)",
    )
    parser.add_argument(
        "--add-attention",
        type=Path,
        metavar="BUNDLE",
        help="in place of an export: make the bundle in this folder give its attention, from its served graphs; "
        "needs neither SOURCE nor OUT",
    )
    _add_formats(parser)
    parser.add_argument("--debug", action="store_true", help="show where in the code an export failed")
    parser.add_argument("--overwrite", action="store_true", help="replace the bundle at OUT once the new one is whole")


def _add_source(parser: argparse.ArgumentParser) -> None:
    """Adds which model is exported."""
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="a model folder, a GGUF file, or a hub id")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder of a LoRA adapter (peft's), merged into SOURCE's weights; again for more, in this order",
    )
    parser.add_argument(
        "--part",
        choices=["text"],
        help="of a model that reads images or sound beside text: text exports its language model and leaves them out",
    )


def _add_formats(parser: argparse.ArgumentParser) -> None:
    """Adds how answers are written."""
    for what, words in (("tool", "tool calls"), ("reasoning", "what it thinks before it answers")):
        parser.add_argument(
            f"--{what}-format",
            metavar="NAME",
            help=f"how the model writes {words}; docs/tools.md has the names (default: as its chat templates have it)",
        )


def _add_quality(parser: argparse.ArgumentParser) -> None:
    """Adds what trades fidelity for size and speed."""
    parser.add_argument(
        "--precision",
        choices=["auto", "fp32", "bf16", "fp16", "int8", "int8_blocks", "int4", "int4_small", "mixed"],
        help="of the weights; int8 and int4 are smaller and faster, at some loss "
        "(to generate: for cpu fp32, int8, int4, mixed, default fp32; for cuda bf16, fp16, int4, default bf16; "
        "any other task, and encoder-decoders: for cpu fp32, int8, default fp32; for cuda fp16); "
        "auto: the fastest one that stays as near to the model as --max-kl says",
    )
    parser.add_argument(
        "--max-kl",
        type=float,
        metavar="NATS",
        help="with --precision auto: largest mean divergence of the next token's probabilities from the model's, on "
        "natural text; .01 is not noticed by readers, .05 hardly, .2 clearly (default: 0.01)",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="a UTF-8 text, of at least 256 tokens, like what the model is for, to calibrate quantisation with "
        "(default: a text of several languages, code and chat)",
    )
    parser.add_argument(
        "--kv-cache",
        choices=["model", "int8", "fp8"],
        default="model",
        help="type of the KV cache, cuda only; int8 and fp8 hold twice the tokens, with scales measured at export "
        "(default: the model's)",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


_positive.__name__ = "number"  # as argparse puts it: invalid number value


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns its exit code: 0, 2 for what cannot be exported, 130 when interrupted.

    Code of models is code of strangers, and raises what it likes: each failure is told in one sentence.
    """
    try:
        with _terminated_as_interrupt():
            return _add_attention(args) if args.add_attention is not None else _export(args)
    except ExportError as error:
        if args.debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return _USER_ERROR
    except Exception as error:  # noqa: BLE001 - the supervision point of this command
        if args.debug:
            traceback.print_exc()
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
        hint = "" if args.debug else "; --debug shows where, for a report of it"
        print(f"error: the export failed unexpectedly ({type(error).__name__}: {line[:300]}){hint}", file=sys.stderr)
        return _USER_ERROR
    except KeyboardInterrupt:
        print(f"interrupted: nothing was written to {args.out}", file=sys.stderr)
        return _INTERRUPTED


def _add_attention(args: argparse.Namespace) -> int:
    from attendant_export.attention.existing import add_attention

    if args.source is not None or args.adapter or args.part:
        raise ExportError("--add-attention takes the folder of a bundle and nothing else; leave SOURCE and OUT out")
    for line in add_attention(args.add_attention):
        print(f"{args.add_attention}: {line}")
    return 0


def _export(args: argparse.Namespace) -> int:
    if args.source is None or args.out is None:
        raise ExportError("an export takes two arguments: SOURCE, a model folder or hub id, and OUT, a new folder")
    from attendant_export.toolchain import check_installed

    check_installed()
    from attendant_export.progress import on_stderr

    with on_stderr("start"):  # its imports take seconds
        from attendant_export.attention.lines import lines_of
        from attendant_export.calibration_file import read_calibration
        from attendant_export.export import export_bundle

    manifest = export_bundle(
        args.source,
        args.out,
        recipe=_recipe(args),
        calibration=read_calibration(args.calibration) if args.calibration is not None else None,
        task=args.task,
        context_length=args.context_length,
        pooling=args.pooling,
        name=args.name,
        revision=args.revision,
        adapters=args.adapter,
        part=args.part,
        overwrite=args.overwrite,
        attention=args.attention,
        tool_format=args.tool_format,
        reasoning_format=args.reasoning_format,
        progress=on_stderr,
        tell=lambda line: print(line, file=sys.stderr),
    )
    for line in manifest.warnings:
        print(f"warning: {line}", file=sys.stderr)
    parity = manifest.parity
    size = sum(entry.size for entry in manifest.files.values()) / 1e6
    generates = manifest.task == "generate"
    kind = manifest.architecture if generates else f"{manifest.task}, {manifest.architecture}"
    print(
        f"{args.out}: {manifest.name} ({kind}, {manifest.precision}, {size:.1f} MB), "
        f"max error {parity.max_abs_error:.2g}, cosine {parity.cosine:.6f}, "
        f"same {'greedy token' if generates else 'largest output'} at {parity.greedy_agreement:.1%} of positions"
    )
    for line in (*_fidelity(parity), *(lines_of(manifest.attention) if manifest.attention is not None else ())):
        print(line)
    return 0


def _recipe(args: argparse.Namespace) -> RecipeRequest | Auto:
    from attendant_export.auto import MAX_KL, Auto
    from attendant_export.recipe import RecipeRequest

    if args.precision == "auto":
        return Auto(args.target, MAX_KL if args.max_kl is None else args.max_kl, args.kv_cache)
    if args.max_kl is not None:
        raise ExportError("--max-kl goes with --precision auto; a precision that is named has limits of its own")
    return RecipeRequest(args.target, args.precision, args.kv_cache)


def _fidelity(parity: Parity) -> Iterator[str]:
    """Lines that tell what the precision changed."""
    if parity.fidelity is not None:
        known = "a trained model" if parity.fidelity.trained else "no trained model of natural text"
        for name, part in (("prompts", parity.fidelity.prompt), ("generated", parity.fidelity.decode)):
            yield (
                f"on natural text ({known}), {name}: KL {part.kl:.5f} nats a token, same greedy token "
                f"{part.greedy_agreement:.1%}, loss {part.nll:.3f}, the model's {part.reference_nll:.3f}"
            )
    if parity.vectors is not None:
        found = parity.vectors
        yield (
            f"on natural inputs, {found.vectors} vectors: cosine {found.cosine:.5f} in the mean, "
            f"{found.least_cosine:.5f} at least"
        )


@contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, so that the folder of an unfinished bundle is removed."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str] | None = None) -> int:
    """`python -m attendant_export.cli`: the command without the server's package of commands."""
    parser = argparse.ArgumentParser(prog="attendant export", description="Export a model to a bundle.")
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
