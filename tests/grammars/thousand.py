"""`python -m tests.grammars.thousand [ANSWERS]` asks a tiny model for so many answers, and more, to schemas drawn by
hypothesis: all of them fit, in slots and in pages, alone as in company. Without the exporter, in slots only."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.engine.helpers import request
from tests.grammars.schemas import PARAMS, answers_of, check_schema, schemas
from tests.needs import exporter_is_installed
from tests.synthetic import make_synthetic_bundle

COMPANY = [request("free", range(20, 31), 80), request("drawn", range(40, 44), 60, temperature=1.0, seed=5)]


def check(bundle: Path, num_answers: int) -> Counter[str]:
    """How the answers of a bundle's model ended."""
    answers, ends = answers_of(bundle), Counter[str]()

    @settings(
        max_examples=-(-num_answers // (len(PARAMS) + 1)),
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(schema=schemas, seed=st.integers(0, 10**6))
    def draw(schema: dict[str, Any], seed: int) -> None:
        ends.update(told.reason for told in check_schema(answers, schema, seed, COMPANY))

    draw()
    return ends


def main() -> int:
    """Check, and say how many of each end there were."""
    num_answers = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    with tempfile.TemporaryDirectory() as folder:
        bundles = {"slots": make_synthetic_bundle(Path(folder) / "slots", context_length=256)}
        if exporter_is_installed():
            from tests.bundles import make_paged_bundle

            bundles["pages"] = make_paged_bundle(Path(folder) / "pages", rounded=True)
        for name, bundle in bundles.items():
            ends = check(bundle, num_answers)
            print(f"{name}: {ends.total()} answers fit their schemas; {dict(ends)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
