"""How far from its source model a bundle may be on natural text, by precision; a worse one is refused.

The limits are for trained models: see :mod:`attendant_export.fidelity.trained`. Those of 8 bits lie between what is
seen as the same text and what one scale a row makes of a model with outlier channels: SmolLM2-135M quantised so has a
divergence of .044, reads visibly worse, and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from attendant.bundle import Distance, Fidelity

from attendant_export.errors import ParityError
from attendant_export.recipe import Recipe


@dataclass(frozen=True)
class Limit:
    """``kl``: largest mean divergence, nats a token. ``agreement``: least share of the same greedy token."""

    kl: float
    agreement: float

    def describe(self) -> str:
        """The limit in words."""
        return f"KL <= {self.kl:g} nats, same greedy token >= {self.agreement:.0%}"


_EXACT, _HALF = Limit(1e-4, 0.99), Limit(5e-3, 0.94)
_ROWS, _BLOCKS = Limit(0.02, 0.90), Limit(0.01, 0.93)
_FOUR_BITS, _SMALL = Limit(0.1, 0.80), Limit(0.2, 0.70)

LIMITS: dict[str, tuple[Limit, Limit]] = {
    "fp32": (_EXACT, _EXACT),
    "fp16": (_HALF, _HALF),
    "bf16": (_HALF, _HALF),
    "int8_blocks": (_BLOCKS, _BLOCKS),
    "int8": (_ROWS, _ROWS),
    "int4": (_FOUR_BITS, _FOUR_BITS),
    "int4_small": (_SMALL, _SMALL),
    "mixed": (_ROWS, _FOUR_BITS),
}
"""For the positions of prompts, and for decode rows."""

EIGHT_BIT_CACHE = Limit(0.02, 0.90)
"""Added to those of the precision: divergences add up."""


def check_fidelity(fidelity: Fidelity, recipe: Recipe, max_kl: float | None = None) -> None:
    """Refuses a bundle of a trained model whose next tokens are too far from the model's.

    Args:
        max_kl: the largest divergence that is asked for, of any model, nats a token.

    Raises:
        ParityError: names what was measured, the limit, and what to do.
    """
    if max_kl is not None and not fidelity.kl <= max_kl:
        raise ParityError(f"the divergence from the model (KL) is {fidelity.kl:.4f} nats a token, asked for {max_kl:g}")
    if not fidelity.trained:
        return
    prompt, decode = (_with_cache(limit, recipe) for limit in LIMITS[recipe.precision])
    _check(fidelity.prompt, prompt, "prompts", recipe)
    _check(fidelity.decode, decode, "generated tokens", recipe)


def _with_cache(limit: Limit, recipe: Recipe) -> Limit:
    if recipe.kv_cache == "model":
        return limit
    return Limit(limit.kl + EIGHT_BIT_CACHE.kl, limit.agreement - (1 - EIGHT_BIT_CACHE.agreement))


def _check(found: Distance, limit: Limit, where: str, recipe: Recipe) -> None:
    if not found.kl <= limit.kl:
        what = f"the divergence from the model (KL) is {found.kl:.4f} nats a token"
        raise _refusal(what, found, limit, where, recipe)
    if not found.greedy_agreement >= limit.agreement:
        what = f"the greedy token is the model's at {found.greedy_agreement:.1%} of them"
        raise _refusal(what, found, limit, where, recipe)


def _refusal(what: str, found: Distance, limit: Limit, where: str, recipe: Recipe) -> ParityError:
    name = str(recipe.precision)
    if recipe.kv_cache != "model":
        name = f"{name} with a cache of {recipe.kv_cache}"
    return ParityError(
        f"verification failed on natural text: in {where}, {what}, over {found.positions} positions; "
        f"{name} allows {limit.describe()} (loss {found.nll:.3f}, the model's {found.reference_nll:.3f}); "
        "export in another precision (--precision auto picks one), or calibrate with text like that which the model "
        "is for (--calibration FILE)"
    )
