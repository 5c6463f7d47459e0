"""A server over a folder of models: what its operators and callers see while versions come and go."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from attendant_proto.v1 import models_pb2 as pb
from attendant_proto.v1 import models_pb2_grpc

from tests.models import switches
from tests.models.repositories import DECODER, DEMO, ENCODER, make_repository, serving_repository
from tests.system.server import ServerProcess, attendant, eventually, request, serving, tokens_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "models", ("1", "2"))


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    with serving_repository(folder, tmp_path / "log") as running:
        yield running


def code_of(call: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    return call.code(), call.details()  # type: ignore[attr-defined]


def index(server: ServerProcess) -> dict[str, tuple[str, str]]:
    """State and cause of each version, by the command line; the current ones have a star."""
    told = json.loads(attendant("models", "--index", "--json", "--server", server.grpc).stdout)
    return {f"{row['model']}@{row['version']}{'*' * row['current']}": (row["state"], row["cause"]) for row in told}


UNLOADED, READY = ("MODEL_STATE_UNLOADED", "it is not loaded"), ("MODEL_STATE_READY", "")


def test_operators_load_and_unload_and_see_what_there_is(server: ServerProcess) -> None:
    there = ("--server", server.grpc)
    assert index(server) == {"moods@1": UNLOADED, "moods@2*": READY, "writer@1": UNLOADED, "writer@2*": READY}
    assert server.serving("writer@2")
    assert server.serving("writer")
    loaded = attendant("load", "writer@1", *there)
    assert loaded.stdout.splitlines()[1].split() == ["writer", "1", "ready", "no"]
    assert server.serving("writer@1")
    one, two = (list(server.generation.Generate(request(model=f"writer@{version}"))) for version in (1, 2))
    assert tokens_of(one) == tokens_of(two), "they are the same model"
    unloaded = attendant("unload", "writer@2", *there, "--drain-timeout", "5")
    assert unloaded.stdout == "writer@2 is unloaded\n"
    assert index(server)["writer@1*"] == READY
    listed = server.models.ListModels(pb.ListModelsRequest()).models
    assert [(each.name, each.version, each.current) for each in listed] == [("writer", "1", True), ("moods", "2", True)]


def test_operators_hear_why_a_model_is_not_loaded(server: ServerProcess, folder: Path) -> None:
    there = ("--server", server.grpc)
    shutil.copytree(DEMO / "sentiment", folder / "moods" / "3")
    (folder / "moods" / "3" / "encoder.onnx").write_bytes(b"no graph")
    kept = attendant("load", "moods", *there)
    assert (kept.returncode, kept.stdout.split()[-4:]) == (0, ["moods", "2", "ready", "yes"]), "the newest that can be"
    state, cause = index(server)["moods@3"]
    assert (state, cause[:34]) == ("MODEL_STATE_FAILED", "it is incomplete: encoder.onnx has")
    refused = attendant("load", "moods@3", *there)
    assert refused.returncode == 1
    assert "FAILED_PRECONDITION: model 'moods@3' is not served: it is incomplete: encoder.onnx has 8" in refused.stderr
    for command in ("load", "unload"):
        refused = attendant(command, "nobody", *there)
        assert refused.returncode == 1
        assert "NOT_FOUND: the repository has no model named 'nobody'; it has 'moods', 'writer'" in refused.stderr


def test_calls_that_are_wrong_or_not_allowed_say_so(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--model-repository", folder, "--repository.control", "none") as server:
        models = server.models
        twice = pb.LoadRequest(model="a@1", version="2")
        for call, wrong, expected in (
            (models.Load, pb.LoadRequest(), "model is empty; allowed: the name of a model"),
            (models.Load, twice, "version is '2', and model names '1'; allowed: one of them"),
            (
                models.Unload,
                pb.UnloadRequest(model="a", drain_timeout_s=-1),
                "drain_timeout_s is -1; allowed: 0 or more",
            ),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(wrong)
            assert code_of(caught.value)[0] is grpc.StatusCode.INVALID_ARGUMENT
            assert expected in code_of(caught.value)[1]
        for call, right in (
            (models.Load, pb.LoadRequest(model=DECODER)),
            (models.Unload, pb.UnloadRequest(model=DECODER)),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(right)
            assert code_of(caught.value)[0] is grpc.StatusCode.FAILED_PRECONDITION
            assert "repository.control is 'none'; allowed with: 'explicit'" in code_of(caught.value)[1]
        assert len(models.Index(pb.IndexRequest()).versions) == 4


def test_a_folder_is_followed(folder: Path, tmp_path: Path) -> None:
    polled = ("--model-repository", folder, "--repository.poll-s", 0.05)
    with serving(tmp_path / "log", *polled) as server:

        def ready() -> set[str]:
            listed = server.models.ListModels(pb.ListModelsRequest()).models
            return {f"{model.name}@{model.version}" for model in listed if model.ready}

        shutil.copytree(DEMO / "bundle", folder / "other" / "7")
        eventually(lambda: "other@7" in ready())
        assert len(tokens_of(server.generation.Generate(request(model="other@7")))) == 8
        shutil.rmtree(folder / "writer" / "2")
        eventually(lambda: "writer@1" in ready())
        eventually(lambda: "writer@2" not in ready())


@pytest.mark.parametrize("model", [DECODER, ENCODER])
def test_no_call_notices_a_switch(server: ServerProcess, folder: Path, model: str) -> None:
    found = asyncio.run(switches.switch(server, folder, model, 4, seconds=0.5, pause=0.1, first=3))
    assert found.during.failures == []
    assert found.before.failures == []
    assert len(found.during.seconds) > 10
    assert found.current == "6"


@pytest.mark.parametrize("what", ["load", "unload"])
def test_an_end_does_not_wait_for_a_model_that_comes_or_goes(server: ServerProcess, what: str) -> None:
    async def change() -> grpc.StatusCode:
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            models = models_pb2_grpc.ModelsStub(channel)
            if what == "load":
                call = models.Load(pb.LoadRequest(model=DECODER, version="1"))
            else:
                call = models.Unload(pb.UnloadRequest(model=DECODER))
            await call.wait_for_connection()
            server.terminate(signal.SIGTERM)
            return await call.code()  # type: ignore[no-any-return]

    assert asyncio.run(change()) in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert server.wait() == 0, server.log()
