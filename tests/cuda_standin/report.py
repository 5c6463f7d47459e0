"""One bundle on the stand-in: the run, the verdict, and what is printed of both."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.cuda_standin.child import Outcome
from tests.cuda_standin.workplace import Complaint, Workplace

# How a tensor of no rows fails to meet one of some, and how parts of sizes that are all zero fail to make a whole.
_ZEROS_FAIL = re.compile(
    r"cannot broadcast on dim \d+ LeftShape: (\{0,|\S+ RightShape: \{0,)|Sum of sizes in 'split' \([^)]*\) was 0\b"
)
_LONGEST = 400


class Verdict(Enum):
    """What a run shows."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ON_ZEROS = "cannot be run on zeros"


@dataclass(frozen=True, slots=True)
class Report:
    """A bundle that was run."""

    name: str
    outcome: Outcome
    complaints: tuple[Complaint, ...]

    @property
    def verdict(self) -> Verdict:
        """Failed: an error, a request without an answer, no graph captured, or a complaint."""
        outcome = self.outcome
        if outcome.error and not self.complaints and _needs_values(outcome):
            return Verdict.NOT_ON_ZEROS
        if outcome.error or outcome.failed or not outcome.finished or not outcome.captures or self.complaints:
            return Verdict.FAILED
        return Verdict.PASSED

    def lines(self) -> list[str]:
        """For people."""
        outcome = self.outcome
        lines = [f"{self.name}: {self.verdict.value}"]
        for graph, placed in sorted(outcome.placements.items()):
            on_cpu = ", ".join(f"{count} {operator}" for operator, count in sorted(placed.on_cpu.items()))
            lines.append(
                f"  {graph}: {placed.num_nodes} nodes, {sum(placed.on_cpu.values())} on the CPU"
                f"{f' ({on_cpu})' if on_cpu else ''}; Memcpy nodes: {placed.from_host} from the host, "
                f"{placed.to_host} to it"
            )
        lines.append(f"  {outcome.captures} graphs captured, {outcome.replays} replays, {outcome.finished} answers")
        lines += [f"  told: {message[:_LONGEST]}" for message in outcome.messages if "without CUDA graphs" in message]
        errors = [outcome.error] if outcome.error else []
        lines += [f"  error: {error[:_LONGEST]}" for error in errors + outcome.failed[:1]]
        counts = Counter(self.complaints)
        lines += [f"  complaint: {complaint} ({count} times)" for complaint, count in sorted(counts.items())]
        return lines if self.complaints else [*lines, "  no complaint"]


def run_bundle(workplace: Workplace, bundle: Path) -> Report:
    """Run the bundle in a child process, which may crash."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "outcome.json"
        child = workplace.run_python(["-m", "tests.cuda_standin.child", str(bundle.resolve()), str(result)])
        if child.returncode == 0:
            return Report(bundle.name, Outcome.read(result), child.complaints)
    error = f"the process ended with {child.returncode}: {child.output[-_LONGEST:]}"
    return Report(bundle.name, Outcome(error=error), child.complaints)


def _needs_values(outcome: Outcome) -> bool:
    """Whether the error is one that zeros explain.

    That is so if the graph reads values back to the host, where they become shapes, as mixtures of experts do with
    the number of tokens of an expert, and if a node found shapes that contradict each other by such a number being 0.
    """
    decoder = outcome.placements.get("decoder.onnx")
    return decoder is not None and decoder.to_host > 0 and bool(_ZEROS_FAIL.search(outcome.error or ""))
