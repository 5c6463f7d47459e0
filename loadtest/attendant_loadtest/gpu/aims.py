"""What the figures are meant to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

AIMED_MODEL, AIMED_BATCH = "8b", 64
ROOFLINE_SHARE = 0.7
TIMES_TRANSFORMERS = 3.0
SERVER_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Aim:
    """``value`` should be ``at_least``. ``what`` says of what it is."""

    what: str
    value: float
    at_least: float

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value >= self.at_least


def aims(results: dict[str, Any]) -> list[Aim]:
    """Those for which there are figures."""
    checks = results["checks"]
    models = checks.get("speed", {}).get("models", {})
    found = _decode_aims(models.get(AIMED_MODEL, {}))
    serving = checks.get("serving", {})
    in_process = models.get(serving.get("model"), {}).get("graphs", {}).get("streams")
    if in_process and "tokens_per_s" in serving:
        what = f"{serving['model']}, {serving['streams']} streams: tokens/s of the server over those of the engine"
        found.append(Aim(what, serving["tokens_per_s"] / in_process["tokens_per_s"], SERVER_SHARE))
    return found


def _decode_aims(model: dict[str, Any]) -> list[Aim]:
    """At the batch that is aimed for or, in a dry run, the largest."""
    ours = {row["batch"]: row for row in model.get("graphs", {}).get("decode", ())}
    if not ours:
        return []
    batch = AIMED_BATCH if AIMED_BATCH in ours else max(ours)
    row, where = ours[batch], f"{AIMED_MODEL}, bf16, batch {batch}"
    found = [Aim(f"{where}: share of the memory roofline", row["roofline_share"], ROOFLINE_SHARE)]
    for other in model.get("transformers", {}).get("decode", ()):
        if other["batch"] == batch and "tokens_per_s" in other:
            times = row["tokens_per_s"] / other["tokens_per_s"]
            found.append(Aim(f"{where}: decode tokens/s over transformers' generate", times, TIMES_TRANSFORMERS))
    return found
