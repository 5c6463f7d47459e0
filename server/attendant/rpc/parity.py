"""What a bundle's manifest says of its distance from the source model, as a message."""

from __future__ import annotations

from attendant_proto.v1 import models_pb2

from attendant.bundle import Distance, Fidelity, Parity, VectorFidelity


def parity_message(parity: Parity) -> models_pb2.Parity:
    """Parts that the bundle does not have are absent."""
    return models_pb2.Parity(
        max_abs_error=parity.max_abs_error,
        cosine=parity.cosine,
        greedy_agreement=parity.greedy_agreement,
        fidelity=_fidelity(parity.fidelity) if parity.fidelity is not None else None,
        vectors=_vectors(parity.vectors) if parity.vectors is not None else None,
    )


def _fidelity(found: Fidelity) -> models_pb2.Fidelity:
    return models_pb2.Fidelity(
        trained=found.trained,
        entropy=found.entropy,
        prompt=_distance(found.prompt),
        decode=_distance(found.decode),
    )


def _distance(found: Distance) -> models_pb2.Distance:
    return models_pb2.Distance(
        positions=found.positions,
        nll=found.nll,
        reference_nll=found.reference_nll,
        kl=found.kl,
        greedy_agreement=found.greedy_agreement,
    )


def _vectors(found: VectorFidelity) -> models_pb2.VectorFidelity:
    return models_pb2.VectorFidelity(vectors=found.vectors, cosine=found.cosine, least_cosine=found.least_cosine)
