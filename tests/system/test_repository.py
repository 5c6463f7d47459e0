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

OTHERS = {"support": "bundle", "tones": "sentiment"}
"""Models beside those that callers ask all the time, by the demo models that they are."""


def make_folder(folder: Path) -> Path:
    """Versions 1 and 2 of each model."""
    for name, source in OTHERS.items():
        for version in ("1", "2"):
            shutil.copytree(DEMO / source, folder / name / version)
    return make_repository(folder, ("1", "2"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("r") / "models")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    with serving_repository(folder, folder.with_name("log")) as running:
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

    def support() -> dict[str, tuple[str, str]]:
        return {name: row for name, row in index(server).items() if name.startswith("support")}

    assert support() == {"support@1": UNLOADED, "support@2*": READY}
    assert server.serving("support@2")
    assert server.serving("support")
    loaded = attendant("load", "support@1", *there)
    assert loaded.stdout.splitlines()[1].split() == ["support", "1", "ready", "no"]
    assert server.serving("support@1")
    one, two = (list(server.generation.Generate(request(model=f"support@{version}"))) for version in (1, 2))
    assert tokens_of(one) == tokens_of(two), "they are the same model"
    unloaded = attendant("unload", "support@2", *there, "--drain-timeout", "5")
    assert unloaded.stdout == "support@2 is unloaded\n"
    assert support() == {"support@1*": READY, "support@2": UNLOADED}
    listed = server.models.ListModels(pb.ListModelsRequest()).models
    assert [(each.version, each.current) for each in listed if each.name == "support"] == [("1", True)]


def test_operators_hear_why_a_model_is_not_loaded(server: ServerProcess, folder: Path) -> None:
    there = ("--server", server.grpc)
    shutil.copytree(DEMO / "sentiment", folder / "tones" / "3")
    (folder / "tones" / "3" / "encoder.onnx").write_bytes(b"no graph")
    kept = attendant("load", "tones", *there)
    assert (kept.returncode, kept.stdout.split()[-4:]) == (0, ["tones", "2", "ready", "yes"]), "the newest that can be"
    state, cause = index(server)["tones@3"]
    assert (state, cause[:34]) == ("MODEL_STATE_FAILED", "it is incomplete: encoder.onnx has")
    refused = attendant("load", "tones@3", *there)
    assert refused.returncode == 1
    assert "FAILED_PRECONDITION: model 'tones@3' is not served: it is incomplete: encoder.onnx has 8" in refused.stderr
    for command in ("load", "unload"):
        refused = attendant(command, "nobody", *there)
        assert refused.returncode == 1
        assert "NOT_FOUND: the repository has no model named 'nobody'; it has 'moods', 'support'" in refused.stderr


@pytest.mark.parametrize("model", [DECODER, ENCODER])
def test_no_call_notices_a_switch(server: ServerProcess, folder: Path, model: str) -> None:
    found = asyncio.run(switches.switch(server, folder, model, 4, seconds=0.5, pause=0.1, first=3))
    assert found.during.failures == []
    assert found.before.failures == []
    assert len(found.during.seconds) > 10
    assert found.current == "6"


def test_a_folder_is_followed_and_calls_change_nothing(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "models", ("1", "2"))
    with serving(tmp_path / "log", "--model-repository", folder, "--repository.poll-s", 0.05) as server:
        models = server.models

        def ready() -> set[str]:
            listed = models.ListModels(pb.ListModelsRequest()).models
            return {f"{model.name}@{model.version}" for model in listed if model.ready}

        shutil.copytree(DEMO / "bundle", folder / "other" / "7")
        eventually(lambda: "other@7" in ready())
        assert len(tokens_of(server.generation.Generate(request(model="other@7")))) == 8
        shutil.rmtree(folder / "writer" / "2")
        eventually(lambda: "writer@1" in ready())
        eventually(lambda: "writer@2" not in ready())
        twice, late = pb.LoadRequest(model="a@1", version="2"), pb.UnloadRequest(model="a", drain_timeout_s=-1)
        wrong, closed = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
        for call, asked, code, told in (
            (models.Load, pb.LoadRequest(), wrong, "model is empty; allowed: the name of a model"),
            (models.Load, twice, wrong, "version is '2', and model names '1'; allowed: one of them"),
            (models.Unload, late, wrong, "drain_timeout_s is -1; allowed: 0 or more"),
            (models.Load, pb.LoadRequest(model=DECODER), closed, "control is 'poll'; allowed with: 'explicit'"),
            (models.Unload, pb.UnloadRequest(model=DECODER), closed, "control is 'poll'; allowed with: 'explicit'"),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(asked)
            assert code_of(caught.value)[0] is code
            assert told in code_of(caught.value)[1]
        assert "writer@1" in ready()


@pytest.mark.parametrize("what", ["load", "unload"])
def test_an_end_does_not_wait_for_a_model_that_comes_or_goes(folder: Path, tmp_path: Path, what: str) -> None:
    async def change(server: ServerProcess) -> grpc.StatusCode:
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            models = models_pb2_grpc.ModelsStub(channel)
            if what == "load":
                call = models.Load(pb.LoadRequest(model="support", version="1"))
            else:
                call = models.Unload(pb.UnloadRequest(model="support"))
            await call.wait_for_connection()
            server.terminate(signal.SIGTERM)
            return await call.code()  # type: ignore[no-any-return]

    with serving_repository(folder, tmp_path / "log", "--repository.load", "support") as server:
        code = asyncio.run(change(server))
        assert code in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert server.wait() == 0, server.log()
