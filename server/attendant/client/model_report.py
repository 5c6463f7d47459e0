"""The server's models as a table, and each one's distance from its source model in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attendant_proto.v1 import models_pb2

_TITLES = ("NAME", "VERSION", "ARCHITECTURE", "TASK", "PRECISION", "TARGET", "CONTEXT", "READY")
_WAYS_TO_GENERATE = ("continue", "translate", "speech")


def table(models: Sequence[models_pb2.Model]) -> Iterator[str]:
    """A line for each model, under a line of titles."""
    rows = [_TITLES, *map(_row, models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    names = [model.name for model in models]
    for model in models:
        called = f"{model.name}@{model.version}" if names.count(model.name) > 1 else model.name
        if model.HasField("route"):
            yield f"{model.name} is a route ({model.route.kind}): {', '.join(map(_target, model.route.targets))}"
        if model.cause:
            yield f"{called} is not served: {model.cause}"


def details(models: Sequence[models_pb2.Model]) -> Iterator[str]:
    """Some lines for each model: where it came from, what was done to it, and how far off it is."""
    for index, model in enumerate(models):
        if index:
            yield ""
        if model.HasField("route"):
            yield from _route(model)
            continue
        if not model.HasField("bundle"):
            yield f"{model.name}: not served: {model.cause}"
            continue
        bundle, parity = model.bundle, model.bundle.parity
        done = f"{_tasks(model)}, {bundle.precision} for {bundle.target}, version {model.version}"
        yield f"{model.name}: {done}, {_readiness(model)}"
        yield f"  source    {bundle.source}, {bundle.architecture}, context {_context_length(model)}"
        if bundle.recipe:
            yield f"  recipe    {'; '.join(bundle.recipe)}"
        for warning in bundle.warnings:
            yield f"  warning   {warning}"
        yield (
            f"  parity    largest error {parity.max_abs_error:.2g}, cosine {parity.cosine:.6f}, "
            f"same largest output {parity.greedy_agreement:.1%}"
        )
        if parity.HasField("fidelity"):
            yield from _fidelity(parity.fidelity)
        if parity.HasField("vectors"):
            found = parity.vectors
            cosines = f"cosine {found.cosine:.5f} in the mean, {found.least_cosine:.5f} at least"
            yield f"  fidelity  {found.vectors} vectors: {cosines}"
        if not (parity.HasField("fidelity") or parity.HasField("vectors")):
            yield "  fidelity  not measured"


def _route(model: models_pb2.Model) -> Iterator[str]:
    yield f"{model.name}: {_tasks(model)}, a route ({model.route.kind}), {_readiness(model)}"
    for target in model.route.targets:
        yield f"  {target.role:<9} {_target(target)}{f': {target.cause}' if target.cause else ''}"


def _target(target: models_pb2.RouteTarget) -> str:
    """A target in a few words."""
    said = [] if target.role in ("shadow", "step") else [f"{target.weight:g}"]
    said += [target.role] if target.role == "shadow" else []
    said += [] if target.ready else ["not ready"]
    named = f"{target.step} by {target.model}" if target.step else target.model
    return f"{named} ({', '.join(said)})" if said else named


def _readiness(model: models_pb2.Model) -> str:
    return "ready" if _ready(model) else f"not ready: {model.cause}" if model.cause else "not ready"


def _fidelity(found: models_pb2.Fidelity) -> Iterator[str]:
    known = "a trained model" if found.trained else "no trained model of natural text"
    yield f"  fidelity  {known}, entropy {found.entropy:.3f} nats a token"
    for name, part in (("prompts", found.prompt), ("generated", found.decode)):
        yield (
            f"            {name:<9} KL {part.kl:.5f}, same greedy token {part.greedy_agreement:.1%}, "
            f"loss {part.nll:.3f} (the model's {part.reference_nll:.3f}), {part.positions} positions"
        )


def _row(model: models_pb2.Model) -> tuple[str, ...]:
    bundle = model.bundle
    return (
        *(model.name, model.version, bundle.architecture, _tasks(model), bundle.precision, bundle.target),
        *(str(_context_length(model)), "yes" if _ready(model) else "no"),
    )


def _ready(model: models_pb2.Model) -> bool:
    return model.state == models_pb2.MODEL_STATE_READY


def _tasks(model: models_pb2.Model) -> str:
    """What the model is for; not in which ways it generates."""
    return ", ".join(name for name in model.capabilities if name not in _WAYS_TO_GENERATE)


def _context_length(model: models_pb2.Model) -> int:
    """Tokens of prompt and answer, or of a text; 0 for models that take neither."""
    if model.HasField("generation"):
        return model.generation.limits.context_length
    return max((part.limits.context_length for part in model.encodings), default=0)
