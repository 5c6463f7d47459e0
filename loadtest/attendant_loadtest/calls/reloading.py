"""A model that goes and comes back, by the calls of each contract."""

from __future__ import annotations

from attendant_proto.openinference import inference_pb2
from attendant_proto.v1 import models_pb2

from attendant_loadtest.calls.open_inference import SERVICE
from attendant_loadtest.calls.route import Route
from attendant_loadtest.calls.rpc import Rpc
from attendant_loadtest.calls.subject import RELOAD
from attendant_loadtest.calls.user import CallingUser


class ReloadingUser(CallingUser):
    """Unloads the model of ``--reload`` and loads it again. There is one, as two would be in each other's way."""

    fixed_count = 1
    calls = (
        Rpc("attendant.v1.Models/Unload", lambda ask: models_pb2.UnloadRequest(model=ask.model), RELOAD),
        Rpc("attendant.v1.Models/Load", lambda ask: models_pb2.LoadRequest(model=ask.model), RELOAD),
        Rpc(
            f"{SERVICE}/RepositoryModelUnload",
            lambda ask: inference_pb2.RepositoryModelUnloadRequest(model_name=ask.model),
            RELOAD,
        ),
        Rpc(
            f"{SERVICE}/RepositoryModelLoad",
            lambda ask: inference_pb2.RepositoryModelLoadRequest(model_name=ask.model),
            RELOAD,
        ),
        Route("/v2/repository/models/{model}/unload", lambda ask: {}, RELOAD),
        Route("/v2/repository/models/{model}/load", lambda ask: {}, RELOAD),
    )
