"""The HTTP port over the life of a server: before its models are loaded, while they work, while it drains."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from attendant.app import Application
from attendant.settings import EngineSettings, GrpcSettings, HttpSettings, MetricsSettings, ServeSettings
from prometheus_client.parser import text_string_to_metric_families

from tests.system.server import HANGS_S, LONG, PATIENT, ServerProcess, eventually, request, serving, tokens_of


def status_of(url: str) -> int:
    try:
        with urlopen(url, timeout=HANGS_S) as response:
            return int(response.status)
    except HTTPError as error:
        return error.code


def load_of(server: ServerProcess) -> dict[str, tuple[dict[str, str], float]]:
    """The gauges of /metrics/load."""
    with urlopen(f"{server.http}/metrics/load", timeout=HANGS_S) as response:
        page = response.read().decode()
    families = text_string_to_metric_families(page)
    return {sample.name: (sample.labels, sample.value) for family in families for sample in family.samples}


class Held(logging.Handler):
    """Holds up whoever says ``words``, until told to go on."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words
        self.reached, self.go_on = threading.Event(), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            self.reached.set()
            self.go_on.wait(HANGS_S)


@pytest.fixture
def loading() -> Iterator[Held]:
    logger, held = logging.getLogger("attendant"), Held("checking")
    level = logger.level
    logger.setLevel("INFO")
    logger.addHandler(held)
    yield held
    held.go_on.set()
    logger.removeHandler(held)
    logger.setLevel(level)
    gc.unfreeze()  # what the server froze is this process's, too


def test_http_answers_before_models_are_loaded_and_until_the_end(fast: Path, loading: Held) -> None:
    settings = ServeSettings(
        bundles=(fast,),
        engine=EngineSettings(threads=1, spinning=False),
        grpc=GrpcSettings(port=0),
        http=HttpSettings(port=0),
        metrics=MetricsSettings(vllm_names=True),
    )

    async def main() -> None:
        application = Application(settings)
        starting = asyncio.ensure_future(application.start())
        await asyncio.to_thread(loading.reached.wait, HANGS_S)
        assert not starting.done()
        listener = application._http._server._socket
        assert listener is not None
        address = "{}:{}".format(*listener.getsockname())
        url = f"http://{address}"
        assert await asyncio.to_thread(status_of, f"{url}/healthz") == 503
        assert await asyncio.to_thread(status_of, f"{url}/metrics") == 200
        loading.go_on.set()
        assert (await starting).http == address
        assert await asyncio.to_thread(status_of, f"{url}/healthz") == 200
        await application.stop()
        with pytest.raises(OSError, match="refused"):
            await asyncio.to_thread(status_of, f"{url}/healthz")

    asyncio.run(asyncio.wait_for(main(), HANGS_S))


def test_a_server_that_drains_is_not_serving_and_its_metrics_can_be_read(slow: Path, tmp_path: Path) -> None:
    arguments = (slow, "--engine.max-num-seqs", 2, "--metrics.vllm-names", *PATIENT)
    with serving(tmp_path / "log", *arguments) as server, ThreadPoolExecutor(1) as pool:
        held = [server.generation.Generate(request("hello", LONG)) for _ in range(2)]
        for each in held:
            next(each)
        waiting = pool.submit(lambda: tokens_of(server.generation.Generate(request("hello", 300))))
        of_model = {"engine": "0", "model_name": "slow"}
        eventually(lambda: load_of(server)["vllm:num_requests_running"] == (of_model, 2))
        eventually(lambda: load_of(server)["vllm:num_requests_waiting"] == (of_model, 1))
        load = load_of(server)
        labels, usage = load["vllm:kv_cache_usage_perc"]
        assert labels == of_model
        assert 0 < usage <= 1
        cache, _ = load["vllm:cache_config_info"]
        assert int(cache["block_size"]) > 0
        assert int(cache["block_size"]) * int(cache["num_gpu_blocks"]) >= 8192
        assert 'vllm:num_requests_running{engine="0",model_name="slow"} 2.0' in server.page()
        server.terminate()
        eventually(lambda: server.healthz() == 503)
        assert server.metrics()["num_requests_running"] > 0
        assert load_of(server)["vllm:num_requests_running"][1] > 0
        for each in held:
            each.cancel()
        assert len(waiting.result(HANGS_S)) == 300
        assert server.wait() == 0
    assert server.log().count("Traceback") == 0
    assert "uvicorn" not in server.log()


def test_an_objective_for_a_model_that_is_not_there_is_told(slow: Path, tmp_path: Path) -> None:
    objectives = "slow: ttft 1s p99, slwo: itl 50ms p99, slow: latency 50ms p99"
    with serving(tmp_path / "log", slow, "--slo.objectives", objectives) as server:

        def told_of() -> list[str]:
            return [line for line in server.log().splitlines() if "slo.objectives" in line]

        eventually(lambda: len(told_of()) == 2)
        told = told_of()
    assert "names 'slwo', and no model that generates has that name; there are: 'slow'" in told[0]
    assert "names 'slow', and no model that encodes has that name; there are: none" in told[1]
