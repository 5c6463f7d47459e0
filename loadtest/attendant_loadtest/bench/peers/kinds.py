"""Which peers there are: how each is installed, how the benchmark's model becomes one of theirs, how it is started."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attendant_loadtest.bench.environments import convert, install
from attendant_loadtest.bench.peers.process import Peer
from attendant_loadtest.bench.processes import answering

_DECODERS, _LLAMA = (str(Path(__file__).with_name(name)) for name in ("decoders.py", "llama_cpp_peer.py"))
_TORCH = ("torch==2.13.0",)  # first and by itself, so that whatever depends on it finds it there


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
    variables=(("CMAKE_ARGS", "-DGGML_NATIVE=ON"),),  # compiled here, in minutes
)


@dataclass(frozen=True, slots=True)
class Kind:
    """``convert``: a command that makes the model, from Python, source folder and where it goes; None: none is needed.
    ``run``: a command that answers workloads, from Python, model and threads. ``arrives``: it takes requests while
    others run."""

    package: Package
    convert: Callable[[Path, Path, Path], Sequence[str]] | None
    run: Callable[[Path, Path, int], Sequence[str]]
    suffix: str = ""
    arrives: bool = False


def _openvino(precision: str) -> Kind:
    def command(python: Path, source: Path, made: Path) -> Sequence[str]:
        task = ("--task", "text-generation-with-past", "--weight-format", precision)
        return (str(python.parent / "optimum-cli"), "export", "openvino", "-m", str(source), *task, str(made))

    return Kind(OPENVINO, command, _run_of("openvino"), arrives=True)


def _run_of(kind: str) -> Callable[[Path, Path, int], Sequence[str]]:
    return lambda python, model, threads: (str(python), _DECODERS, kind, str(model), str(threads))


def _genai(python: Path, source: Path, made: Path) -> Sequence[str]:
    options = ("-p", "int4", "-e", "cpu", "-c", str(made.parent / "cache"))
    extra = ("--extra_options", "prune_lm_head=true", "int4_accuracy_level=4")
    words = ("-m", "onnxruntime_genai.models.builder", "-i", str(source), "-o", str(made), *options, *extra)
    return (str(python), *words)


def _ctranslate2(python: Path, source: Path, made: Path) -> Sequence[str]:
    words = ("--model", str(source), "--output_dir", str(made), "--quantization", "int8")
    return (str(python.parent / "ct2-transformers-converter"), *words)


KINDS = {
    "openvino-int8": _openvino("int8"),
    "openvino-int4": _openvino("int4"),
    "openvino-fp32": _openvino("fp32"),
    "genai-int4": Kind(GENAI, _genai, _run_of("genai")),
    "llama.cpp-q4_0": Kind(
        LLAMA,
        lambda python, source, made: (str(python), _LLAMA, "convert", str(source), str(made)),
        lambda python, model, threads: (str(python), _LLAMA, str(model), str(threads)),
        suffix=".gguf",
    ),
    "ctranslate2-int8": Kind(TRANSFORMERS, _ctranslate2, _run_of("ctranslate2")),
    "transformers-fp32": Kind(TRANSFORMERS, None, _run_of("transformers")),
}
DEFAULT = ("openvino-int8", "openvino-int4", "genai-int4", "llama.cpp-q4_0", "ctranslate2-int8")


@contextmanager
def peer(name: str, source: Path, folder: Path, threads: int) -> Iterator[Peer]:
    """Start the peer ``name`` with the model of folder ``source``; first installs it in ``folder`` and converts the
    model there, where that has not been done.

    Raises:
        PeerFailed: says what went wrong.
    """
    kind = KINDS[name]
    python = kind.package.python(folder)
    made = folder / "models" / f"{name}{kind.suffix}"
    model = convert(kind.convert(python, source, made), made) if kind.convert else source
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    with answering(kind.run(python, model, threads), variables) as process:
        yield Peer(process)
