"""Streams go on, to the bit, while another model is loaded and unloaded beside them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from attendant_proto.v1 import models_pb2

from tests.models.loading import LOADED, STREAMED, make_folder, measure
from tests.models.repositories import DEMO, QUIET, load_request
from tests.system.server import request, serving, tokens_of


def test_streams_go_on_while_another_model_comes_and_goes(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "models", DEMO / "bundle", DEMO / "sentiment")
    told = ("--model-repository", folder, "--repository.control", "explicit", "--repository.load", STREAMED)
    with serving(tmp_path / "log", *told, *QUIET, "--prepared-weights", tmp_path / "prepared") as server:
        asked = request("Where is my order?", 200, model=STREAMED)
        asked.stopping.ignore_eos = True
        alone = tokens_of(server.generation.Generate(asked))
        found = asyncio.run(measure(server, loads=1, streams=2, rest_s=0.2))
        assert found.rest.seconds
        assert found.load.seconds
        running = server.generation.Generate(asked)
        tokens = tokens_of([next(running)])
        server.models.Load(load_request(LOADED))
        tokens += tokens_of([next(running)])
        server.models.Unload(models_pb2.UnloadRequest(model=LOADED))
        assert tokens + tokens_of(running) == alone
    assert len(list((tmp_path / "prepared").iterdir())) == 2, "of both models"
