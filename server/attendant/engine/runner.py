"""What the engine asks of the room below: move KV memory, launch a run, collect its tokens."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from typing import Protocol, runtime_checkable

from attendant.core.plan import Move, StepOutput, StepPlan


@runtime_checkable
class Runner(Protocol):
    """The hands of the engine, with a device that runs while the host does something else."""

    def prepare(self) -> None:
        """Called once, on the thread that makes all later calls, before the engine serves; may take minutes."""
        ...

    def move(self, moves: SequenceOf[Move]) -> None:
        """Carry out KV cache moves, in order. Raising is fatal to the engine: the cache would be unknown."""
        ...

    def launch(self, plan: StepPlan) -> None:
        """Begin to run the plan's chunks. May raise; the cache up to what was committed must stay intact."""
        ...

    def collect(self) -> StepOutput:
        """Wait for the run that was launched, and its tokens. May raise, under the condition of :meth:`launch`."""
        ...


class BlockingRunner(Protocol):
    """A runner whose runs occupy the caller from begin to end, whatever thread that is."""

    def move(self, moves: SequenceOf[Move]) -> None:
        """See :meth:`Runner.move`."""
        ...

    def run(self, plan: StepPlan) -> StepOutput:
        """Run the plan's chunks and sample. May raise, under the condition of :meth:`Runner.launch`."""
        ...


class LaunchedLate:
    """A blocking runner as a :class:`Runner`: the run happens when it is collected."""

    def __init__(self, runner: BlockingRunner) -> None:
        self._runner = runner
        self._plan = StepPlan()

    def prepare(self) -> None:
        """Nothing to do."""

    def move(self, moves: SequenceOf[Move]) -> None:
        """See :meth:`Runner.move`."""
        self._runner.move(moves)

    def launch(self, plan: StepPlan) -> None:
        """Remember the plan."""
        self._plan = plan

    def collect(self) -> StepOutput:
        """Run the plan."""
        return self._runner.run(self._plan)
