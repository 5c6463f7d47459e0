"""The benchmark of encoders end to end on a tiny bundle, and its parts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.bundle import EncoderManifest, read_any_manifest
from attendant.runtime.session import SessionOptions, open_session
from attendant_loadtest.bench.encoders_in_process import BareSession, PaddedBatcher
from attendant_loadtest.bench.encoders_measurement import Encoded
from attendant_loadtest.bench.encoders_padded import padded_session
from attendant_loadtest.bench.encoders_report import rows, table
from attendant_loadtest.bench.encoders_rounds import KINDS, LIMIT, LOADED, Plan, Results
from attendant_loadtest.bench.encoders_source import VOCABULARY, tokenizer
from attendant_loadtest.bench.encoders_workload import Texts, mixed_lengths

from tests.synthetic_encoder import make_image_encoder, make_text_encoder
from tests.system.server import environment


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_text_encoder(tmp_path_factory.mktemp("bundles") / "tiny", max_tokens=512)


def bench(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "attendant_loadtest.bench", "encoders", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=180,
        env=environment(),
        check=False,
    )


@pytest.mark.parametrize("task", ["classify", "embed"])
def test_everything_is_measured(task: str, tmp_path: Path) -> None:
    bundle, out = make_text_encoder(tmp_path / "tiny", task, max_tokens=512), tmp_path / "results.json"
    process = bench("--bundle", bundle, "--quick", "--out", out)
    assert process.returncode == 0, process.stderr
    assert len(process.stdout.splitlines()) == 2 + 5
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [row["aim"] for row in found["rows"]] == [">= 0.92", ">= 2", "<= 1", "<= 1.5 ms", ""]
    for row in found["rows"]:
        assert row["model"] == "tiny"
        assert min(row["base"], row["ours"]) > 0
    (measured,) = found["rounds"]["tiny"][""]
    assert set(measured) == set(KINDS)
    assert measured["limit"]["tokens"] == 128 * measured["limit"]["sequences"]
    assert measured["padded"]["tokens"] == measured["mixed"]["tokens"]
    assert measured["padded"]["computed_per_token"] > 1
    assert 0 < measured["alone"]["around_compute_ms"] < measured["alone"]["p99_ms"]


def test_a_bundle_that_is_not_for_it_is_told(tmp_path: Path) -> None:
    process = bench("--bundle", make_image_encoder(tmp_path / "images"), "--quick")
    assert process.returncode == 1
    assert "packed text encoders" in process.stderr.splitlines()[-1]


def test_padded_rows_give_what_packed_ones_do(classifier: Path) -> None:
    manifest: Any = read_any_manifest(classifier)
    assert isinstance(manifest, EncoderManifest)
    packed = BareSession(open_session(classifier / "encoder.onnx", SessionOptions()), manifest)
    padded = BareSession(padded_session(classifier, manifest, 1), manifest)
    batch = [[5, 6, 7], [8], [9, 10, 11, 12, 13]]
    (wanted,) = packed.session.run(None, packed.feeds(batch))
    (found,) = padded.session.run(None, padded.padded_feeds(batch))
    np.testing.assert_array_equal(found, wanted)


def test_padded_batches_keep_the_order_and_the_limits(classifier: Path) -> None:
    manifest: Any = read_any_manifest(classifier)
    assert isinstance(manifest, EncoderManifest)
    session = open_session(classifier / "encoder.onnx", SessionOptions())
    batcher = PaddedBatcher(BareSession(session, manifest), max_rows=3, max_tokens=20)
    waiting: Any = deque(([1] * length, 0.0) for length in (4, 6, 9, 30, 2, 2, 2, 2))
    batches = []
    while waiting:
        batches.append([len(ids) for ids, _ in batcher._take(waiting)])
    assert batches == [[4, 6], [9], [30], [2, 2, 2], [2]]
    found = batcher.measure([[1] * 4] * 7, clients=3)
    assert (found.sequences, found.tokens, len(found.latencies_ms)) == (7, 28, 7)
    assert found.figures == {"batch": pytest.approx(7 / 3), "computed_per_token": 1.0}


def test_texts_have_the_tokens_that_were_asked_for() -> None:
    made = tokenizer()
    assert made.get_vocab_size() == VOCABULARY
    texts = Texts(made)
    lengths = [*mixed_lengths(50, 8, 512, seed=1), 8, 512]
    found = [texts.ids(text) for text in texts.of_lengths(lengths, seed=1)]
    assert [len(ids) for ids in found] == lengths
    assert made.token_to_id("[UNK]") not in {token for ids in found for token in ids}
    assert any(made.id_to_token(token).startswith("##") for token in found[-1])
    assert len(set(texts.of_lengths([20] * 20, seed=1) + texts.of_lengths([20] * 20, seed=2))) == 40


def test_mixed_lengths_are_uniform_on_a_logarithmic_scale() -> None:
    lengths = np.array(mixed_lengths(4000, 8, 512, seed=3))
    assert (lengths.min(), lengths.max()) == (8, 512)
    assert 0.45 < (lengths < 64).mean() < 0.55


def test_ratios_are_of_the_rounds_and_precisions_are_compared() -> None:
    def results(loaded_s: tuple[float, ...], limit_s: float, others: tuple[float, ...]) -> Results:
        rounds = []
        for wall_s, disturbed in zip(loaded_s, others, strict=True):
            found = {kind: Encoded(100, 1, 1.0, [1.0], 0.0, {"around_compute_ms": 0.5}) for kind in KINDS}
            found[LOADED] = Encoded(100, 1, wall_s, [1.0], disturbed)
            found[LIMIT] = Encoded(100, 1, limit_s, [1.0])
            rounds.append(found)
        return Results(8, rounds)

    plan = Plan(quiet=0.1)
    made = {"fp32": results((2.0, 4.0, 8.0), 2.0, (0, 0, 0.5)), "int8": results((1.0,) * 3, 1.0, (1, 1, 1))}
    found = rows("m", made, plan)
    assert len(found) == 5 + 5 + 1
    assert (found[0].compared, found[0].quiet, found[0].others, found[0].met) == (0.75, 2, 0, False)
    assert (found[5].compared, found[5].quiet, found[5].others, found[5].met) == (1.0, 0, 1, True)
    assert found[-1].compared == 1.0
    assert found[-1].met is False
    assert len({line.count("|") for line in table(found).splitlines()}) == 1
