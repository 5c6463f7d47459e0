"""What attention calls beside them cost others: `python -m tests.frontend.explain.cost [BUNDLE [TOKENS]]`.

Four streams run round after round, in turns without anybody beside them and with two callers who look at attention
without a pause. It prints the medians of both, and of their ratios.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import read_any_manifest
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.generation import Delta, GenerationCall
from attendant.demo import demo_bundle
from attendant.frontend.explain.calls import AttentionCall, GivenAnswer, Subject
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.ledger import Account
from attendant.models.loaded import load_model
from attendant.models.loader import LoadedBundles
from attendant.settings import EncoderSettings, EngineSettings, GpuSettings

STREAMS, ROUNDS, LOOKERS = 4, 15, 2
TOKENS = int(sys.argv[2]) if len(sys.argv) > 2 else 400
QUESTIONS = ("Where is my order 48213?", "I want to return a coat.", "Which sizes are there?", "Can I pay later?")
LOOK = AttentionCall(
    "", Subject(ChatPrompt((ChatMessage("user", QUESTIONS[0]),))), GivenAnswer(text="It is there. " * 30)
)


@dataclass(frozen=True)
class Round:
    """What a round gave. Seconds between two tokens, in the median and at 99 %; tokens a second; calls beside."""

    between_s: float
    late_s: float
    rate: float
    looks: int


async def stream(front_end: FrontEnd, question: str, gaps: list[float]) -> int:
    """One answer; returns its tokens."""
    prompt = ChatPrompt((ChatMessage("user", question),))
    call = GenerationCall("", prompt, max_tokens=TOKENS, ignore_eos=True, temperature=0.0)
    count, last = 0, 0.0
    async for part in front_end.generation.generate(call):
        if isinstance(part, Delta):
            now = time.perf_counter()
            if last:
                gaps.append((now - last) / max(len(part.token_ids), 1))
            count, last = count + len(part.token_ids), now
    return count


async def run_round(front_end: FrontEnd, lookers: int) -> Round:
    """All streams at once, with so many callers beside them."""
    ended, looks = False, 0

    async def look_on() -> None:
        nonlocal looks
        while not ended:
            await front_end.explain.attention(LOOK)
            looks += 1

    beside = [asyncio.create_task(look_on()) for _ in range(lookers)]
    await asyncio.sleep(0.05 * bool(lookers))
    gaps: list[float] = []
    begin = time.perf_counter()
    counts = await asyncio.gather(*(stream(front_end, QUESTIONS[i % 4], gaps) for i in range(STREAMS)))
    spent = time.perf_counter() - begin
    ended = True
    await asyncio.gather(*beside)
    gaps.sort()
    return Round(statistics.median(gaps), gaps[int(len(gaps) * 0.99)], sum(counts) / spent, looks)


async def measure(path: Path) -> None:
    """Rounds in turns, and what they say."""
    model = load_model(
        path,
        read_any_manifest(path),
        EngineSettings(),
        EncoderSettings(),
        GpuSettings(),
        account=Account.alone("model"),
        verify=False,
    )
    front_end = FrontEnd(Metrics(), print)
    await front_end.start(LoadedBundles((model,)))
    for lookers in (0, LOOKERS):  # what is opened when somebody asks is open
        await run_round(front_end, lookers)
    rounds = [(await run_round(front_end, 0), await run_round(front_end, LOOKERS)) for _ in range(ROUNDS)]
    await front_end.close()
    for name, unit, values in (
        ("between two tokens, median", "ms", [(a.between_s * 1e3, b.between_s * 1e3) for a, b in rounds]),
        ("between two tokens, 99 %", "ms", [(a.late_s * 1e3, b.late_s * 1e3) for a, b in rounds]),
        ("throughput", "tokens/s", [(a.rate, b.rate) for a, b in rounds]),
    ):
        alone, beside = (statistics.median(column) for column in zip(*values, strict=True))
        ratio = statistics.median(b / a for a, b in values)
        print(f"{name}: {alone:.2f} {unit} alone, {beside:.2f} beside attention, ratio {ratio:.3f}")
    print(f"attention calls in a round: {statistics.median(b.looks for _, b in rounds)}")


if __name__ == "__main__":
    asyncio.run(measure(Path(sys.argv[1]) if len(sys.argv) > 1 else demo_bundle()))
