"""Runs one class in a child of a process that has torch and transformers loaded: a crash or a hang ends only itself."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import sys
import tempfile
import time
import traceback
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from tests.export.census.kinds import KINDS
from tests.export.census.outcome import NotTried, Result, Wrong, of_refusal

MEMORY = 8 << 30  # bytes of data that a child may have
SECONDS = 120.0


def preload(*, warm: bool = False) -> None:
    """What children share.

    Args:
        warm: exports a model, too, which loads what an export loads by and by: worth it before many classes.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    import attendant_export.export  # noqa: F401
    import onnxruntime  # noqa: F401
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if warm:
        with tempfile.TemporaryDirectory(prefix="census-") as folder:
            KINDS["causal-lm"].load_judge()("llama", "LlamaForCausalLM", Path(folder))
    gc.collect()
    gc.freeze()


def run_class(kind: str, model_type: str, *, seconds: float = SECONDS, debug: bool = False) -> Result:
    """What becomes of one class.

    Args:
        seconds: it may take. debug: what it says and raises goes to stderr.
    """
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    class_name = KINDS[kind].classes()[model_type]
    started = time.monotonic()
    child = context.Process(target=_child, args=(kind, model_type, class_name, sender, debug))
    child.start()
    sender.close()
    outcome, detail, error = "traceback", "the process ended without a word", None
    if not receiver.poll(seconds):
        child.kill()
        outcome, detail = "not tried", f"not done in {seconds:g} s"
    else:
        with contextlib.suppress(EOFError):
            outcome, detail, error = receiver.recv()
    child.join(10)
    if child.is_alive():
        child.kill()
        child.join()
    if detail == "the process ended without a word":
        detail += f" (exit code {child.exitcode})"
    return Result(kind, model_type, class_name, outcome, detail, error, round(time.monotonic() - started, 1))


def _child(kind: str, model_type: str, class_name: str, answer: Connection, debug: bool) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    gc.disable()  # a tenth of the time of a short life
    if not debug:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, sys.stdout.fileno())
        os.dup2(silent, sys.stderr.fileno())
    with tempfile.TemporaryDirectory(prefix="census-") as folder:
        answer.send(_outcome(kind, model_type, class_name, Path(folder), debug))
    answer.close()


def _outcome(kind: str, model_type: str, class_name: str, folder: Path, debug: bool) -> tuple[str, str, float | None]:
    try:
        found = KINDS[kind].load_judge()(model_type, class_name, folder)
        return "right", found.remark, float(f"{found.error:.1e}")
    except NotTried as error:
        return "not tried", str(error), None
    except Wrong as error:
        return "wrong", str(error), None
    except Exception as error:  # noqa: BLE001 - every outcome is counted
        if debug:
            traceback.print_exc()
        return (*of_refusal(error), None)
