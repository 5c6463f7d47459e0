"""The figures that `python -m tests.http.api.streaming` tells are right for rounds whose cost is known."""

from __future__ import annotations

import random

from tests.http.api.streaming import Round, told


def test_what_http_adds_is_told_round_by_round() -> None:
    chance = random.Random(1)
    paces = [chance.uniform(0.5, 2.0) for _ in range(20)]  # of the machine in each round; they do not matter
    grpc = [Round(0.004 * pace, 100_000 * pace) for pace in paces]
    http = [Round(one.first_s + 0.001, one.token_ns * 1.1) for one in grpc]
    head, of_http, more = told({"attendant.v1": grpc, "/v1/completions": http})
    assert head.startswith("attendant.v1")
    assert of_http.startswith("/v1/completions")
    assert "first token +1.00 ms (+1.00 to +1.00), processor time 1.100 (1.100 to 1.100) of attendant.v1's" in more
