"""What a bundle says of its fidelity reaches clients, and the terminal."""

from __future__ import annotations

from typing import Any

from attendant.bundle import Distance, Fidelity, Parity, VectorFidelity
from attendant.client.model_report import details, table
from attendant.rpc.parity import parity_message
from attendant_proto.v1 import models_pb2

PROMPT = Distance(positions=1600, nll=2.78125, reference_nll=2.75, kl=0.0075, greedy_agreement=0.9375)
DECODE = Distance(positions=384, nll=2.875, reference_nll=2.75, kl=0.125, greedy_agreement=0.75)
FIDELITY = Fidelity(trained=True, entropy=2.5, prompt=PROMPT, decode=DECODE)


def _parity(fidelity: Fidelity | None = None, vectors: VectorFidelity | None = None) -> Parity:
    return Parity(
        max_abs_error=0.5,
        cosine=0.75,
        greedy_agreement=0.875,
        tolerance="",
        cases=(),
        fidelity=fidelity,
        vectors=vectors,
    )


def _model(parity: Parity, **more: Any) -> models_pb2.Model:
    return models_pb2.Model(
        name="m",
        version="1",
        capabilities=("generate", "continue"),
        state=models_pb2.MODEL_STATE_READY,
        bundle=models_pb2.BundleInfo(
            architecture="llama",
            precision="mixed",
            target="cpu",
            source="some/model",
            parity=parity_message(parity),
            **more,
        ),
        generation=models_pb2.GenerationInfo(limits=models_pb2.Limits(context_length=8)),
    )


def test_all_of_the_report_is_in_the_message() -> None:
    message = parity_message(_parity(FIDELITY)).fidelity
    assert (message.trained, message.entropy) == (True, 2.5)
    for part, found in ((message.prompt, PROMPT), (message.decode, DECODE)):
        assert {field: getattr(part, field) for field in Distance.model_fields} == found.model_dump()
    vectors = VectorFidelity(vectors=8, cosine=0.9995, least_cosine=0.998)
    assert parity_message(_parity(vectors=vectors)).vectors.least_cosine == 0.998


def test_the_terminal_shows_recipe_and_fidelity() -> None:
    text = "\n".join(details([_model(_parity(FIDELITY), recipe=["smoothed 61 norms", "lm_head in blocks"])]))
    assert "m: generate, mixed for cpu, version 1, ready" in text
    assert "smoothed 61 norms; lm_head in blocks" in text
    assert "prompts   KL 0.00750, same greedy token 93.8%, loss 2.781 (the model's 2.750), 1600 positions" in text
    assert "generated KL 0.12500" in text
    vectors = VectorFidelity(vectors=8, cosine=0.9995, least_cosine=0.998)
    assert "8 vectors: cosine 0.99950" in "\n".join(details([_model(_parity(vectors=vectors))]))


def test_bundles_of_older_exporters_say_that_nothing_was_measured() -> None:
    assert "not measured" in "\n".join(details([_model(_parity())]))


def test_the_table_has_a_line_for_each_model() -> None:
    titles, first, second = table([_model(_parity()), _model(_parity(FIDELITY))])
    assert titles.split()[:2] == ["NAME", "VERSION"]
    assert first == second
