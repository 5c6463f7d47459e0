"""Paged runs on real graphs: bucketed or bound anew, sampled or not, settled or fetched whole, failed or captured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.bundle import read_manifest
from attendant.core.plan import Chunk, CopyBlock, SampleOrder, SetBlocks, StepOutput, StepPlan
from attendant.core.sampling import SamplingParams
from attendant.engine.runner import Runner
from attendant.runtime.decode_graphs import GraphKey, GraphKeys
from attendant.runtime.devices import HostDevice
from attendant.runtime.page_cache import PageCache
from attendant.runtime.page_runner import PageRunner, PageSessions
from attendant.runtime.sampler import sample
from attendant.runtime.session import SessionOptions, open_session
from attendant.runtime.step_inputs import StepShape

BLOCK_SIZE, NUM_BLOCKS, ROWS, COLUMNS = 4, 60, 6, 12
LIMITS = StepShape(num_sequences=ROWS, num_tokens=48, num_logits=ROWS, num_columns=COLUMNS)
GREEDY = SamplingParams(max_tokens=1, logprobs=3)


class Spy:
    """A session that counts its runs; ``before`` is called before each."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.runs = 0
        self.before: Any = lambda run: None

    def io_binding(self) -> Any:
        return self._session.io_binding()

    def run_with_iobinding(self, *arguments: Any) -> None:
        self.runs += 1
        self.before(self.runs)
        self._session.run_with_iobinding(*arguments)


class Hands:
    """A runner over a cache of its own; sequence i has blocks of its own in row i."""

    def __init__(self, bundle: Path, *, buckets: bool = False, capture: bool = True) -> None:
        manifest = read_manifest(bundle)
        options = SessionOptions()
        names = ("decoder", "copy_blocks", "pick_rows")
        self.decoder, copier, self.pick = (
            Spy(open_session(bundle / manifest.graphs[name].file, options)) for name in names
        )
        sizes = {"num_blocks": NUM_BLOCKS, "block_size": BLOCK_SIZE, "num_sequences": ROWS, "max_blocks": COLUMNS}
        self.cache = PageCache(manifest.kv_layers, HostDevice(), copier, **sizes)
        self.keys = GraphKeys(ROWS, COLUMNS, BLOCK_SIZE)
        sessions = PageSessions(self.decoder, copier, self.pick)
        self.runner = PageRunner(sessions, manifest, self.cache, HostDevice(), LIMITS, self.keys if buckets else None)
        if buckets and capture:
            assert all(self.runner.capture(key, number) for number, key in enumerate(self.keys, 1))

    def memory(self) -> list[np.ndarray]:
        """Each cache as [num_blocks, bytes]."""
        buffers: list[Any] = [buffer for pair in self.cache._buffers for buffer in pair]
        return [buffer.owner.reshape(NUM_BLOCKS, -1) for buffer in buffers]

    def place(self, rows: int) -> None:
        """Blocks 1.. are dealt out in turn: each row gets what its longest sequence needs."""
        for row in range(rows):
            blocks = tuple(1 + row + ROWS * column for column in range(9))
            self.runner.move([SetBlocks(row, 0, blocks)])

    def run(self, *chunks: Chunk, decode: bool = False) -> StepOutput:
        self.runner.launch(StepPlan(decodes=chunks) if decode else StepPlan(prefills=chunks))
        return self.runner.collect()


def chunk(row: int, tokens: list[int], start: int = 0, params: SamplingParams | None = GREEDY) -> Chunk:
    new = np.array(tokens[start:], np.int64)
    order = SampleOrder(params, np.array(tokens, np.int64), len(tokens)) if params else None
    return Chunk(f"r{row}", row, start, new, order)


def prompt(row: int, length: int) -> list[int]:
    return [(31 * row + 17 * i * i) % 290 + 3 for i in range(length)]


def decode(hands: Hands, lengths: list[int], steps: int, params: SamplingParams = GREEDY) -> list[StepOutput]:
    """Prefill prompts of ``lengths``, then decode them together."""
    hands.place(len(lengths))
    texts = [prompt(row, length) for row, length in enumerate(lengths)]
    outputs = []
    for row, text in enumerate(texts):
        text.append(hands.run(chunk(row, text)).tokens[f"r{row}"])
    for _ in range(steps):
        outputs.append(hands.run(*(chunk(row, t, len(t) - 1, params) for row, t in enumerate(texts)), decode=True))
        for row, text in enumerate(texts):
            text.append(outputs[-1].tokens[f"r{row}"])
    return outputs


def assert_alike(found: list[StepOutput], wanted: list[StepOutput], tolerance: float) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.tokens == other.tokens
        assert one.logprobs.keys() == other.logprobs.keys() == one.tokens.keys()
        for id_, report in one.logprobs.items():
            assert report.logprob == pytest.approx(other.logprobs[id_].logprob, abs=tolerance)
            assert [token for token, _ in report.top] == [token for token, _ in other.logprobs[id_].top]


@pytest.fixture(scope="module")
def anew(paged_bundle: Path) -> Hands:
    return Hands(paged_bundle)


@pytest.fixture(scope="module")
def bucketed(paged_bundle: Path) -> Hands:
    return Hands(paged_bundle, buckets=True)


@pytest.mark.parametrize(
    ("lengths", "tolerance"),
    [
        ([9, 4], 1e-6),  # as many as the bucket has
        ([7, 1, 20, 12], 1e-6),
        ([5, 17, 2], 1e-4),  # one row is left over
        ([11, 3, 8, 30, 6], 1e-4),  # and columns grow from one bucket to the next
    ],
)
def test_a_bucketed_run_gives_what_a_run_bound_anew_gives(
    anew: Hands, bucketed: Hands, lengths: list[int], tolerance: float
) -> None:
    bound = []
    original = bucketed.runner._captured_run
    bucketed.runner._captured_run = lambda *sizes: bound.append(original(*sizes)) or bound[-1]  # type: ignore[method-assign,func-returns-value]
    found = decode(bucketed, lengths, 6)
    bucketed.runner._captured_run = original  # type: ignore[method-assign]
    assert len(bound) == 6
    assert all(run is not None for run in bound), "every decode ran in a bucket"
    assert_alike(found, decode(anew, lengths, 6), tolerance)


def test_rows_left_over_touch_nothing(bucketed: Hands) -> None:
    lengths = [5, 9, 3]
    bucketed.place(3)
    texts = [prompt(row, length) for row, length in enumerate(lengths)]
    for row, text in enumerate(texts):
        bucketed.run(chunk(row, text[:-1], params=None))
    last = [chunk(row, text, len(text) - 1) for row, text in enumerate(texts)]
    wanted = bucketed.run(*last, decode=True)

    before = [memory.copy() for memory in bucketed.memory()]
    for memory in bucketed.memory():
        memory[0].view(np.float32)[:] = 1e4  # what the rows left over read
    found = bucketed.run(*last, decode=True)
    assert_alike([found], [wanted], 0)
    for memory, kept in zip(bucketed.memory(), before, strict=True):
        assert (memory[0].view(np.float32) == 1e4).all()
        np.testing.assert_array_equal(memory[1:], kept[1:])
        memory[0] = 0


def test_a_step_that_samples_nothing_stores_its_tokens(anew: Hands) -> None:
    anew.place(2)
    text = prompt(4, 21)
    whole = anew.run(chunk(0, text))
    output = anew.run(Chunk("r1", 1, 0, np.array(text[:13]), None))
    assert (output.tokens, output.logprobs, output.failures) == ({}, {}, {})
    assert_alike([anew.run(chunk(0, text))], [whole], 1e-6)
    rest = anew.run(chunk(1, text, 13))
    assert rest.tokens["r1"] == whole.tokens["r0"]
    assert rest.logprobs["r1"].logprob == pytest.approx(whole.logprobs["r0"].logprob, abs=1e-4)


def test_blocks_that_are_copied_are_read(anew: Hands) -> None:
    text = prompt(3, 8)
    anew.place(1)
    anew.run(chunk(0, text[:4], params=None))
    wanted = anew.run(chunk(0, text, 4))
    anew.runner.move([CopyBlock(1, 58), SetBlocks(5, 0, (58, 59))])
    found = anew.run(chunk(5, text, 4))
    assert found.tokens["r5"] == wanted.tokens["r0"]
    assert found.logprobs["r5"].logprob == pytest.approx(wanted.logprobs["r0"].logprob, abs=1e-6)


FETCHED = [
    SamplingParams(max_tokens=1, logprobs=64),
    SamplingParams(max_tokens=1, temperature=1.0, top_k=200, seed=5),
    SamplingParams(max_tokens=1, temperature=3.0, top_p=0.999, seed=7, logprobs=2),
]
SETTLED = [
    SamplingParams(max_tokens=1),
    SamplingParams(max_tokens=1, logprobs=5),
    SamplingParams(max_tokens=1, temperature=0.8, seed=3),
    SamplingParams(max_tokens=1, temperature=0.8, top_k=10, seed=3, logprobs=1),
]


@pytest.mark.parametrize("buckets", [False, True])
def test_tokens_are_the_samplers_on_whole_rows(anew: Hands, bucketed: Hands, paged_bundle: Path, buckets: bool) -> None:
    from attendant_export.paged.session import PagedRow, PagedSession

    hands = bucketed if buckets else anew
    manifest = read_manifest(paged_bundle)
    graph = paged_bundle / manifest.graphs["decoder"].file
    session = PagedSession(graph, manifest.kv_layers, num_blocks=8, block_size=BLOCK_SIZE)
    hands.place(3)
    texts = [prompt(row, 9 + row) for row in range(3)]
    logits = np.stack([session.run([PagedRow(np.array(t), 0, [1, 2, 3, 4])])[0][-1] for t in texts])
    for row, text in enumerate(texts):
        hands.run(chunk(row, text[:-1], params=None))
    fetches = hands.pick.runs
    for number, params in enumerate([*SETTLED, *FETCHED]):
        chunks = [chunk(row, t, len(t) - 1, params if row else GREEDY) for row, t in enumerate(texts)]
        found = hands.run(*chunks, decode=True)
        orders = [(row, c.request_id, c.sample) for row, c in enumerate(chunks) if c.sample is not None]
        for wanted in sample(logits.copy(), orders):
            assert found.tokens[wanted.request_id] == wanted.token_id
            report = found.logprobs.get(wanted.request_id)
            assert (report is None) == (wanted.logprob is None)
            if report is not None and wanted.logprob is not None:
                assert report.logprob == pytest.approx(wanted.logprob.logprob, abs=1e-4)
                assert len(report.top) == len(wanted.logprob.top)
        assert hands.pick.runs - fetches == max(0, number + 1 - len(SETTLED)), params


def test_a_run_that_fails_leaves_the_runner_as_it_was(anew: Hands) -> None:
    anew.place(2)
    text = prompt(1, 10)
    wanted = anew.run(chunk(0, text))
    with pytest.raises(Exception, match="indices element out of data bounds"):
        anew.run(Chunk("r1", 1, 0, np.array([10**6]), None))
    again = anew.run(chunk(0, text, 9))
    assert again.tokens == wanted.tokens
    assert again.logprobs["r0"].logprob == pytest.approx(wanted.logprobs["r0"].logprob, abs=1e-4)


def test_a_run_is_collected_once_and_after_its_launch(anew: Hands) -> None:
    assert isinstance(anew.runner, Runner)
    anew.place(1)
    with pytest.raises(AssertionError):
        anew.runner.collect()
    anew.runner.launch(StepPlan(prefills=(chunk(0, prompt(0, 5)),)))
    output = anew.runner.collect()
    assert list(output.tokens) == ["r0"]
    assert output.run_ns > 0
    with pytest.raises(AssertionError):
        anew.runner.collect()


def test_a_captured_run_that_computes_something_else_is_refused(paged_bundle: Path) -> None:
    hands = Hands(paged_bundle, buckets=True, capture=False)
    key = GraphKey(4, COLUMNS)
    assert hands.keys.shortest(key) > 1, "the first row reads what it claims to have"

    def poison(run: int) -> None:
        for memory in hands.memory():
            memory[0].view(np.float32)[:] = np.linspace(-3, 3, memory[0].size // 4) if run > 2 else 0

    hands.decoder.before = poison
    assert not hands.runner.capture(key, 1)
    assert hands.runner._captured_run(4, COLUMNS) is None, "it is not kept"

    hands.decoder.before = lambda run: None
    for memory in hands.memory():
        memory[0] = 0
    assert hands.runner.capture(key, 1)
    assert hands.runner._captured_run(4, COLUMNS) is not None
