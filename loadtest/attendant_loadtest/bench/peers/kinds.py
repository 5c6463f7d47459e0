"""Which peers there are: how each is installed, how the benchmark's model becomes one of theirs, how it is started."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attendant_loadtest.bench.environments import convert, install
from attendant_loadtest.bench.peers.process import Peer
from attendant_loadtest.bench.processes import Answering, answering

_DECODERS, _LOGITS, _OPENVINO_LOGITS, _LLAMA = (
    str(Path(__file__).with_name(name))
    for name in ("decoders.py", "logits.py", "openvino_logits.py", "llama_cpp_peer.py")
)
_TORCH = ("torch==2.13.0",)  # first and by itself, so that whatever depends on it finds it there


@dataclass(frozen=True, slots=True)
class Room:
    """The sequences that a peer must have memory for, and the positions of each, if it asks."""

    positions: int = 256
    sequences: int = 32


@dataclass(frozen=True, slots=True)
class Package:
    """An environment, which several kinds may share. ``proof``: what is there once it is whole."""

    name: str
    steps: tuple[tuple[str, ...], ...]
    proof: str
    unwanted: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    def python(self, folder: Path) -> Path:
        """Its Python; installs it in ``folder`` first if it is not there.

        Raises:
            PeerFailed: it cannot be installed.
        """
        return install(
            folder / self.name, self.steps, self.proof, variables=dict(self.variables), unwanted=self.unwanted
        )


OPENVINO = Package(
    "openvino",
    (_TORCH, ("torch==2.13.0", "optimum-intel[openvino]", "openvino-genai", "openvino-tokenizers")),
    "lib/python*/site-packages/openvino_genai",
    unwanted=("torchvision",),  # made for another torch
)
GENAI = Package(
    "genai",
    (_TORCH, ("torch==2.13.0", "onnxruntime-genai==0.18.0", "transformers", "onnx", "onnx_ir")),
    "lib/python*/site-packages/onnxruntime_genai",
)
TRANSFORMERS = Package(
    "transformers",
    (_TORCH, ("torch==2.13.0", "transformers==5.23.0", "ctranslate2==4.8.5")),
    "lib/python*/site-packages/ctranslate2",
)
LLAMA = Package(
    "llama",
    (("llama-cpp-python==0.3.36", "gguf", "safetensors"),),
    "lib/python*/site-packages/llama_cpp",
    variables=(
        ("CMAKE_ARGS", "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"),  # compiled here, in minutes
        # GCC 12 believes that _tile_loadconfig reads 8 bytes of its 64 and drops the stores to the others as dead:
        # every product in AMX tiles then ends in a segmentation fault.
        ("CXXFLAGS", "-fno-tree-dse -fno-dse"),
    ),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """``convert``: a command that makes the model, from Python, source folder and where it goes; None: none is needed.
    ``run``: a command that answers workloads, from Python, model, threads and room; ``logits``: one that gives logits,
    from Python, model and threads. ``bits``: of most weights. ``weights``: patterns of the files that hold them, in the
    model's folder; none: the model is one file. ``arrives``: it takes requests while others run. ``one_by_one``: its
    logits come from runs of single tokens. ``remark``: what a reader of its row should know. ``measures``: the programs
    here that its logits come from."""

    package: Package
    convert: Callable[[Path, Path, Path], Sequence[str]] | None
    run: Callable[[Path, Path, int, Room], Sequence[str]]
    logits: Callable[[Path, Path, int], Sequence[str]]
    bits: int
    weights: tuple[str, ...] = ()
    suffix: str = ""
    arrives: bool = False
    one_by_one: bool = False
    remark: str = ""
    measures: tuple[str, ...] = ("logits.py",)


def _script(kind: str) -> Callable[[Path, Path, int, Room], Sequence[str]]:
    return lambda python, model, threads, room: (str(python), _DECODERS, kind, str(model), str(threads))


def _logits(kind: str) -> Callable[[Path, Path, int], Sequence[str]]:
    return lambda python, model, threads: (str(python), _LOGITS, kind, str(model), str(threads))


def _openvino(precision: str) -> Kind:
    def command(python: Path, source: Path, made: Path) -> Sequence[str]:
        task = ("--task", "text-generation-with-past", "--weight-format", precision, *_groups(precision, source))
        return (str(python.parent / "optimum-cli"), "export", "openvino", "-m", str(source), *task, str(made))

    return Kind(
        OPENVINO,
        command,
        _script("openvino"),
        lambda python, model, threads: (str(python), _OPENVINO_LOGITS, str(model), str(threads)),
        bits=_bits(precision),
        weights=("openvino_model.*",),
        arrives=True,
        remark="fidelity: its pipeline's graph and settings in openvino.Core, since the pipeline gives no logits",
        measures=("openvino_logits.py",),
    )


def _groups(precision: str, source: Path) -> tuple[str, ...]:
    """The default group of 128 channels fits only rows that are multiples of it; half of it fits more."""
    if precision != "int4":
        return ()
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    fits = all(config[name] % 128 == 0 for name in ("hidden_size", "intermediate_size"))
    return () if fits else ("--group-size", "64")


def _genai(precision: str, *options: str) -> Kind:
    def command(python: Path, source: Path, made: Path) -> Sequence[str]:
        words = ("-i", str(source), "-o", str(made), "-p", precision, "-e", "cpu", "-c", str(made.parent / "cache"))
        extra = ("--extra_options", "prune_lm_head=true", "accuracy_level=4", *options)
        return (str(python), "-m", "onnxruntime_genai.models.builder", *words, *extra)

    return Kind(
        GENAI,
        command,
        _script("genai"),
        _logits("genai"),
        bits=_bits(precision),
        weights=("model.onnx*",),
        one_by_one=True,
        measures=("logits.py", "decoders.py"),
        remark="fidelity: token by token, since its prompts give the last position's logits only",
    )


def _llama(precision: str) -> Kind:
    return Kind(
        LLAMA,
        lambda python, source, made: (str(python), _LLAMA, "convert", str(source), str(made), precision),
        lambda python, model, threads, room: (
            *(str(python), _LLAMA, "generate", str(model), str(threads)),
            *(str(room.positions), str(room.sequences)),
        ),
        lambda python, model, threads: (str(python), _LLAMA, "logits", str(model), str(threads)),
        bits=_bits(precision.replace("q", "int")),
        suffix=".gguf",
        measures=("llama_cpp_peer.py",),
    )


def _ctranslate2(python: Path, source: Path, made: Path) -> Sequence[str]:
    words = ("--model", str(source), "--output_dir", str(made), "--quantization", "int8")
    return (str(python.parent / "ct2-transformers-converter"), *words)


def _bits(precision: str) -> int:
    return 32 if precision == "fp32" else 8 if precision.startswith("int8") else 4


KINDS = {
    "openvino-int8": _openvino("int8"),
    "openvino-int4": _openvino("int4"),
    "openvino-fp32": _openvino("fp32"),
    "genai-int8": _genai("int8"),
    "genai-int4": _genai("int4"),
    "genai-k_quant_mixed": _genai("int4", "algo_config=k_quant_mixed"),
    "llama.cpp-q8_0": _llama("q8_0"),
    "llama.cpp-q4_0": _llama("q4_0"),
    "llama.cpp-q4_K_M": _llama("q4_K_M"),
    "ctranslate2-int8": Kind(
        TRANSFORMERS,
        _ctranslate2,
        _script("ctranslate2"),
        _logits("ctranslate2"),
        bits=8,
        weights=("model.bin",),
    ),
    "transformers-fp32": Kind(
        TRANSFORMERS,
        None,
        _script("transformers"),
        _logits("transformers"),
        bits=32,
        weights=("*.safetensors",),
    ),
}
REFERENCE = "transformers-fp32"
DEFAULT = (
    "openvino-int8",
    "llama.cpp-q8_0",
    "genai-int8",
    "ctranslate2-int8",
    "openvino-int4",
    "llama.cpp-q4_0",
    "llama.cpp-q4_K_M",
    "genai-int4",
    "genai-k_quant_mixed",
)


@dataclass(frozen=True, slots=True)
class Made:
    """A peer that is installed and has its model: how to start it. Make one with :func:`prepare`."""

    kind: Kind
    python: Path
    model: Path

    @property
    def files(self) -> list[Path]:
        """The files of its weights."""
        if self.model.is_file():
            return [self.model]
        return sorted({file for pattern in self.kind.weights for file in self.model.glob(pattern)})

    @contextmanager
    def started(self, threads: int, room: Room) -> Iterator[Peer]:
        """It, running and answering workloads."""
        with answering(self.kind.run(self.python, self.model, threads, room), _variables(threads)) as process:
            yield Peer(process)

    @contextmanager
    def giving_logits(self, threads: int) -> Iterator[Answering]:
        """A process that answers as ``logits.py`` says. Its time is of no interest: idle threads need not spin."""
        variables = {**_variables(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        with answering(self.kind.logits(self.python, self.model, threads), variables) as process:
            yield process


def prepare(name: str, source: Path, environments: Path, models: Path) -> Made:
    """Install the peer ``name`` in ``environments`` and convert the model of folder ``source`` to one in ``models``,
    where that has not been done.

    Raises:
        PeerFailed: says what went wrong.
    """
    kind = KINDS[name]
    python = kind.package.python(environments)
    made = models / f"{name}{kind.suffix}"
    return Made(kind, python, convert(kind.convert(python, source, made), made) if kind.convert else source)


def _variables(threads: int) -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
