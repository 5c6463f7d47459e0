"""`python -m tests.docs.pictures` draws the pictures of docs/explain-command.md from what was recorded. `--record` asks
the models again, each in a real server: the demo's, and the trained ones of tests/real."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from attendant.cli import main as attendant
from attendant.client.explain.command import read_recorded
from attendant.client.explain.painter import Painter
from attendant.client.explain.terminal import lines
from PIL import Image

from tests.docs.markdown import REPOSITORY
from tests.docs.screen import screen
from tests.system.server import environment, serving

ASSETS = REPOSITORY / "docs" / "assets" / "explain"
RECORDED = Path(__file__).parent / "recorded"
COLUMNS = 88
QUESTION = "What is the capital of France?"
ANIMAL = "The animal didn't cross the street because it was tired"
APPLES = (
    "She ate a red apple after lunch.",
    "The apple fell from the tree in the orchard.",
    "Apple released a new phone in September.",
    "Engineers at Apple design their own chips.",
    "Shares of Apple rose after the earnings report.",
)
SPEECH = "tests/real/speech/01.ogg"


@dataclass(frozen=True)
class Shot:
    """A picture: of which model, by which words after ``attendant explain``; on a ``terminal`` or as a drawing; of what
    was ``recorded`` for another, if that is named."""

    model: str
    words: tuple[str, ...]
    terminal: bool = False
    recorded: str = ""


SHOTS = {
    "answer": Shot("smollm2", (QUESTION, "--max-tokens", "16")),
    "layers": Shot("smollm2", (QUESTION, "--max-tokens", "16", "--reduction", "mean-heads")),
    "terminal": Shot("smollm2", (QUESTION, "--max-tokens", "16"), terminal=True, recorded="answer"),
    "animal": Shot("smollm2", (ANIMAL, "--raw", "--max-tokens", "0", "--layer", "9", "--head", "2")),
    "apples": Shot(
        "minilm",
        tuple(
            word for text in APPLES for word in ("--context", text, "--word", "apple" if "apple" in text else "Apple")
        ),
    ),
    "whisper": Shot("whisper-tiny-en", ("--audio", SPEECH, "--layer", "3", "--reduction", "mean")),
    "shape": Shot("demo", ("--image", "triangle.png", "--model", "shapes", "--reduction", "mean-heads")),
    "occlusion": Shot("smollm2", (QUESTION, "--max-tokens", "16", "--method", "attention", "--method", "occlusion")),
    "steps": Shot("smollm2", ("--steps", QUESTION, "--max-tokens", "16")),
}


def main(words: Iterable[str]) -> int:
    """Record, if asked to, and draw."""
    asked = list(words)
    names = [word for word in asked if word != "--record"] or list(SHOTS)
    if "--record" in asked:
        for model in dict.fromkeys(SHOTS[name].model for name in names):
            _record(model, [name for name in names if SHOTS[name].model == model and not SHOTS[name].recorded])
    ASSETS.mkdir(parents=True, exist_ok=True)
    for name in names:
        (ASSETS / f"{name}.svg").write_text(drawn(name), encoding="utf-8")
        print(f"wrote docs/assets/explain/{name}.svg")
    return 0


def drawn(name: str) -> str:
    """The picture of what was recorded."""
    shot = SHOTS[name]
    recorded = RECORDED / f"{shot.recorded or name}.jsonl"
    if shot.terminal:
        painter = Painter("true", COLUMNS, dark=True)
        command = f"$ attendant explain {' '.join(_quoted(word) for word in shot.words)}"
        return screen(
            [command, *(line for view in read_recorded(str(recorded)) for line in lines(view, painter))], COLUMNS
        )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{name}.svg"
        with redirect_stdout(io.StringIO()):
            assert attendant(["explain", "--recorded", str(recorded), "--output", str(path)]) == 0
        return path.read_text(encoding="utf-8")


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _record(model: str, names: list[str]) -> None:
    RECORDED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, serving(Path(scratch) / "log", *_served(model)) as server:
        _triangle().save(Path(scratch) / "triangle.png")
        places = {"triangle.png": str(Path(scratch) / "triangle.png"), SPEECH: str(REPOSITORY / SPEECH)}
        for name in names:
            words = [places.get(word, word) for word in SHOTS[name].words]
            output = io.StringIO()
            with redirect_stdout(output):
                assert attendant(["explain", *words, "--server", server.grpc, "--json"]) == 0
            (RECORDED / f"{name}.jsonl").write_text(output.getvalue(), encoding="utf-8")
            print(f"recorded {name}")


def _served(model: str) -> Iterator[object]:
    if model == "demo":
        yield "--demo"
        return
    command = [sys.executable, "-m", "attendant_export.checkpoints", model, "--bundle", "fp32"]
    made = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True).stdout
    yield from (made.splitlines()[-1], "--no-verify-bundles")


def _triangle() -> Image.Image:
    from attendant_demo.shapes.draw import draw_one

    return draw_one("triangle", random.Random("a triangle 1")).image


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
