"""The Open Inference Protocol over HTTP: the answers of its gRPC half to the bit, in JSON and in bytes."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.bundle import EmbeddingHead
from attendant.core.json_values import MOST_VALUES
from attendant.http.api.door import Limits
from attendant.http.app import http_app
from attendant.metrics import Metrics

from tests.frontend.encoding.helpers import load
from tests.http.api.openinference.helpers import LENGTH, Both, error_of, in_binary, in_json, same, tensors, with_both
from tests.http.loop import HANGS_S, Site
from tests.rpc.openinference import helpers as of_grpc
from tests.rpc.openinference.helpers import request, tensor
from tests.synthetic_encoder import make_image_encoder, make_text_encoder
from tests.system.encoders import png

TEXTS = ["it is fine", "no", "häßlich \x00 and longer than the others"]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    head = EmbeddingHead(pooling="mean", dimensions=4, normalise=True, prompts={"query": "find: "})
    return make_text_encoder(tmp_path_factory.mktemp("rest") / "vectors", "embed", embedding=head)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_text_encoder(tmp_path_factory.mktemp("rest") / "labels")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image_encoder(tmp_path_factory.mktemp("rest") / "images")


def test_answers_are_those_of_grpc_however_they_come(vectors: Path, labels: Path) -> None:
    async def test(server: Both) -> None:
        ids, mask = np.array([[5, 6, 7], [8, 9, 0]]), np.array([[1, 1, 1], [1, 1, 0]])
        asked: list[tuple[str, list[Any]]] = [
            ("labels", [tensor("text", TEXTS, "BYTES")]),
            ("vectors", [tensor("text", TEXTS, "BYTES")]),
            ("vectors", [tensor("input_ids", ids, "INT64"), tensor("attention_mask", mask, "INT64")]),
            (
                "vectors",
                [tensor("input_ids", ids.astype(np.int32), "INT32"), tensor("attention_mask", mask > 0, "BOOL")],
            ),
        ]
        for model, inputs in asked:
            typed = of_grpc.tensors(await server.grpc.stub.ModelInfer(request(model, *inputs)))
            path = f"/v2/models/{model}/infer"
            for nested in (False, True):
                answer = await server.post(path, in_json(*inputs, nested=nested))
                assert answer.headers["content-type"] == "application/json"
                assert same(tensors(answer), typed)
            body, headers = in_binary(*inputs, parameters={"binary_data_output": True})
            answer = await server.post(f"/v2/models/{model}/versions/1/infer", body, headers=headers)
            assert answer.headers["content-type"] == "application/octet-stream"
            assert same(tensors(answer), typed)

    with_both(test, load(vectors), load(labels))


def test_each_output_comes_as_it_is_asked_for(labels: Path) -> None:
    async def test(server: Both) -> None:
        text = tensor("text", TEXTS, "BYTES")
        typed = of_grpc.tensors(await server.grpc.stub.ModelInfer(request("labels", text)))
        outputs: list[dict[str, Any]] = [{"name": "score", "parameters": {"binary_data": True}}, {"name": "label"}]
        for binary in (False, True):
            answer = await server.post(
                "/v2/models/labels/infer",
                in_json(text, outputs=outputs, parameters={"binary_data_output": binary}, id="7"),
            )
            head = json.loads(answer.content[: int(answer.headers[LENGTH])])
            assert (head["id"], head["model_name"], head["model_version"]) == ("7", "labels", "1")
            assert [each["name"] for each in head["outputs"]] == ["score", "label"]
            assert ["data" in each for each in head["outputs"]] == [False, not binary]
            assert same(tensors(answer), {name: typed[name] for name in ("score", "label")})

    with_both(test, load(labels))


def test_a_mixed_request_and_one_without_json(labels: Path, images: Path) -> None:
    async def test(server: Both) -> None:
        ids, mask = (
            tensor("input_ids", np.array([[5, 6]]), "INT64"),
            tensor("attention_mask", np.array([[1, 1]]), "INT64"),
        )
        typed = of_grpc.tensors(await server.grpc.stub.ModelInfer(request("labels", ids, mask)))
        body, headers = in_binary(mask)
        told = json.loads(body[: int(headers[LENGTH])])
        told["inputs"] = in_json(ids)["inputs"] + told["inputs"]
        head = json.dumps(told).encode()
        answer = await server.post(
            "/v2/models/labels/infer", head + body[int(headers[LENGTH]) :], headers={LENGTH: str(len(head))}
        )
        assert same(tensors(answer), typed)

        picture = png((250, 250, 250))
        typed = of_grpc.tensors(
            await server.grpc.stub.ModelInfer(request("images", tensor("image", [picture], "BYTES")))
        )
        assert same(tensors(await server.post("/v2/models/images/infer", picture, headers={LENGTH: "0"})), typed)

    with_both(test, load(labels), load(images))


@pytest.mark.parametrize(
    ("coding", "compress", "inflate"),
    [("gzip", gzip.compress, gzip.decompress), ("deflate", zlib.compress, zlib.decompress)],
)
def test_what_is_compressed_is_the_same(labels: Path, coding: str, compress: Any, inflate: Any) -> None:
    async def test(server: Both) -> None:
        text = tensor("text", TEXTS * 20, "BYTES")
        path = "/v2/models/labels/infer"
        plain = await server.post(path, in_json(text), headers={"accept-encoding": "gzip, deflate"})
        for none in ("gzip;q=0", "gzip; q=0.000", "gzip;q=1, deflate", "br"):
            answer = await server.post(path, in_json(text), headers={"accept-encoding": none})
            assert "content-encoding" not in answer.headers
        assert "content-encoding" not in plain.headers, "what a library could read is not what it asked for"
        body, headers = in_binary(text)
        headers |= {"content-encoding": coding, "accept-encoding": coding}
        async with server.http.stream("POST", path, content=compress(body), headers=headers) as answer:
            raw = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == coding
        assert inflate(raw) == plain.content
        assert len(raw) < len(plain.content)

    with_both(test, load(labels))


def test_bombs_and_broken_bodies_are_refused(labels: Path) -> None:
    text = in_json(tensor("text", ["a"], "BYTES"))
    whole = gzip.compress(json.dumps(text).encode())
    bomb = gzip.compress(b" " * 10_000_000)
    assert len(bomb) < 100_000
    cases: list[tuple[bytes, str, int, str]] = [
        (bomb, "gzip", 413, "body has more than 100,000 bytes when it is inflated"),
        (b" " * 100_001, "", 413, "body has 100,001 bytes; allowed: at most 100,000"),
        (whole[:-9], "gzip", 400, "body is not gzip to its end: it ends too early"),
        (whole + whole, "gzip", 400, "body is not gzip to its end: it has more after its end"),
        (b"not at all", "deflate", 400, "body is not deflate: "),
        (whole, "br", 415, "content-encoding is 'br'; allowed: gzip, deflate"),
    ]

    async def test(server: Both) -> None:
        for body, coding, status, words in cases:
            headers = {"content-encoding": coding} if coding else {}
            found = error_of(await server.post("/v2/models/labels/infer", body, headers=headers))
            assert (found[0], found[1][: len(words)]) == (status, words)
        assert (
            await server.post("/v2/models/labels/infer", whole, headers={"content-encoding": "gzip"})
        ).status_code == 200

    with_both(test, load(labels), limits=Limits(100_000))


@pytest.mark.parametrize(
    "path", ["models/labels/infer", "models/labels/generate", "repository/index", "logging", "trace/setting"]
)
def test_json_with_too_much_in_it_is_refused_before_it_is_parsed(labels: Path, path: str) -> None:
    async def test(server: Both) -> None:
        for body, what in ((b"[%b1]" % (b"1," * MOST_VALUES), "values"), (b"{%b}" % (b'"":1,' * 40_000), "names")):
            status, words = error_of(await server.post(f"/v2/{path}", b'{"parameters": %b}' % body))
            assert (status, words.split(" ")[:4]) == (413, ["body", "has", "more", "than"])
            assert what in words

    with_both(test, load(labels))


def test_live_ready_and_what_there_is(vectors: Path) -> None:
    async def test(server: Both) -> None:
        get = server.http.get
        assert (await get("/v2/health/live")).json() == {"live": True}
        assert (await get("/v2/health/ready")).json() == {"ready": True}
        assert (await get("/v2/models")).json() == {"models": ["vectors"]}
        told = (await get("/v2")).json()
        assert told["name"] == "attendant"
        assert {"binary_tensor_data", "model_repository", "statistics"} <= set(told["extensions"])
        assert (await get("/v2/models/vectors/ready")).json() == {"name": "vectors", "ready": True}
        assert (await get("/v2/models/vectors/versions/1/ready")).status_code == 200
        for path in (
            "/v2/models/none/ready",
            "/v2/models/none",
            "/v2/models/vectors/versions/9/ready",
            "/v2/models/vectors/versions/9",
        ):
            assert error_of(await get(path))[0] == 404
        await server.grpc.rpc.health.set(serving=False)
        answer = await get("/v2/health/ready")
        assert (answer.status_code, answer.json()) == (503, {"ready": False})
        assert (await get("/v2/health/live")).status_code == 200
        assert error_of(await get("/v2/nothing"))[0] == 404
        assert error_of(await get("/v2/models/vectors/infer"))[0] in (404, 405)

    with_both(test, load(vectors))


def test_metadata_configuration_and_statistics(vectors: Path) -> None:
    async def test(server: Both) -> None:
        get = server.http.get
        told = (await get("/v2/models/vectors")).json()
        assert set(told) == {"name", "versions", "platform", "inputs", "outputs"}
        assert (told["name"], told["versions"], told["platform"]) == ("vectors", ["1"], "onnxruntime_onnx")
        assert {"name": "text", "datatype": "BYTES", "shape": [-1]} in told["inputs"]
        config = (await get("/v2/models/vectors/versions/1/config")).json()
        assert (config["name"], config["max_batch_size"], config["backend"]) == ("vectors", 0, "attendant")
        assert config["version_policy"] == {"latest": {"num_versions": 1}}
        assert [each["data_type"] for each in config["input"] if each["name"] == "text"] == ["TYPE_STRING"]
        assert [each["dims"] for each in config["input"] if each["name"] == "input_ids"] == [[-1, -1]]
        assert config["parameters"]["dimensions"] == {"string_value": "4"}
        await server.post("/v2/models/vectors/infer", in_json(tensor("text", TEXTS, "BYTES")))
        (one,) = (await get("/v2/models/vectors/stats")).json()["model_stats"]
        assert (one["name"], one["inference_count"], one["inference_stats"]["success"]["count"]) == ("vectors", 3, 1)
        assert type(one["inference_stats"]["success"]["ns"]) is int
        assert [each["name"] for each in (await get("/v2/models/stats")).json()["model_stats"]] == ["vectors"]

    with_both(test, load(vectors))


def test_the_repository_the_log_and_traces(vectors: Path) -> None:
    async def test(server: Both) -> None:
        ready = {"name": "vectors", "version": "1", "state": "READY", "reason": ""}
        assert (await server.post("/v2/repository/index", {"ready": True})).json() == [ready]
        assert (await server.post("/v2/repository/index")).json() == [ready]
        assert error_of(await server.post("/v2/repository/models/vectors/unload", {}))[0] == 403, "nobody has opened it"
        status, words = error_of(
            await server.post("/v2/repository/models/vectors/load", {"parameters": {"config": "{}"}})
        )
        assert (status, words[:18]) == (400, "parameters[config]")

        settings = (await server.http.get("/v2/logging")).json()
        assert settings["log_file"] == ""
        assert type(settings["log_info"]) is bool
        status, words = error_of(await server.post("/v2/logging", {"log_info": "yes"}))
        assert (status, words) == (400, "settings[log_info] is 'yes'; allowed: true or false")
        assert error_of(await server.post("/v2/logging", {"log_info": None}))[0] == 400
        assert (await server.post("/v2/logging", settings)).json() == settings

        traced = (await server.http.get("/v2/trace/setting")).json()
        assert traced == {"trace_level": ["OFF"], "trace_rate": "0", "trace_mode": "opentelemetry"}
        assert (await server.http.get("/v2/models/vectors/trace/setting")).json() == traced
        assert error_of(await server.post("/v2/trace/setting", {"trace_rate": "2"}))[0] == 403
        status, words = error_of(await server.post("/v2/models/vectors/trace/setting", {"trace_rate": "2"}))
        assert (status, words[:10]) == (400, "model_name")

    with_both(test, load(vectors))


@pytest.mark.parametrize("kind", ["system", "cuda"])
def test_no_memory_is_shared(vectors: Path, kind: str) -> None:
    async def test(server: Both) -> None:
        for path in ("status", "region/a/status", "region/a%2Fb/register", "unregister", "region/a/unregister"):
            method = "GET" if path.endswith("status") else "POST"
            status, words = error_of(await server.http.request(method, f"/v2/{kind}sharedmemory/{path}"))
            assert (status, words[:19]) == (501, "no memory is shared")
        body = {
            "inputs": [
                {
                    "name": "text",
                    "datatype": "BYTES",
                    "shape": [1],
                    "parameters": {"shared_memory_region": "a", "shared_memory_byte_size": 5},
                }
            ]
        }
        status, words = error_of(await server.post("/v2/models/vectors/infer", body))
        assert (status, words[:46]) == (400, "inputs[text].parameters[shared_memory_region] ")

    with_both(test, load(vectors))


def test_a_version_in_the_name_and_names_that_no_model_has(labels: Path) -> None:
    async def test(server: Both) -> None:
        text = in_json(tensor("text", ["a"], "BYTES"))
        for path in ("labels@1", "labels%401", "l%61bels/versions/1", "labels/versions/%31"):
            assert (await server.post(f"/v2/models/{path}/infer", text)).json()["model_version"] == "1"
        for path in ("org%2Fmy%20model", "org/my%20model"):
            for what in ("", "/versions/2", "/ready", "/config", "/versions/2/config"):
                status, words = error_of(await server.http.get(f"/v2/models/{path}{what}"))
                version = "@2" if "versions" in what else ""
                assert (status, words.partition(" is")[0]) == (404, f"no model named 'org/my model{version}'")
        words = error_of(await server.http.get("/v2/models/a%2Fready"))[1]
        assert words.startswith("no model named 'a/ready'"), "an encoded slash parts no path"
        assert error_of(await server.http.get("/v2/models/%ff%00"))[0] == 404

    with_both(test, load(labels))


def test_a_caller_of_kserve_names_the_model_once_more(labels: Path) -> None:
    async def test(server: Both) -> None:
        text = tensor("text", ["a"], "BYTES")
        assert (await server.post("/v2/models/labels/infer", in_json(text, model_name="labels"))).status_code == 200
        nothing: dict[str, Any] = dict.fromkeys(("id", "model_name", "parameters", "outputs"))
        assert (await server.post("/v2/models/labels/infer", in_json(text, **nothing))).status_code == 200
        status, words = error_of(await server.post("/v2/models/labels/infer", in_json(text, model_name="other")))
        assert (status, words) == (400, "model_name is 'other'; allowed: 'labels', as in the path")

    with_both(test, load(labels))


def test_large_requests_and_answers_leave_the_loop_alone(vectors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, int] = {}

    def watched(name: str, module: str) -> None:
        inner = getattr(import_module(module), name)

        def watch(*given: Any, **named: Any) -> Any:
            threads[name] = threading.get_ident()
            return inner(*given, **named)

        monkeypatch.setattr(f"{module}.{name}", watch)

    watched("infer_request", "attendant.http.api.openinference.inferring")
    watched("written", "attendant.http.api.openinference.inferring")
    watched("piece", "attendant.http.api.openinference.inferring")
    watched("_inflate", "attendant.http.api.openinference.compression")

    async def test(server: Both) -> None:
        for texts, in_the_loop in ((["a"], True), (["it is fine"] * 2000, False)):
            text = tensor("text", texts, "BYTES")
            typed = of_grpc.tensors(await server.grpc.stub.ModelInfer(request("vectors", text)))
            body = gzip.compress(json.dumps(in_json(text)).encode())
            answer = await server.post("/v2/models/vectors/infer", body, headers={"content-encoding": "gzip"})
            assert same(tensors(answer), typed), "however many pieces it is written in"
            assert (threads["infer_request"] == threading.get_ident()) is in_the_loop
            assert (threads["written"] == threading.get_ident()) is in_the_loop
            assert threads["_inflate"] != threading.get_ident()
            whole, stream = [
                await server.post(f"/v2/models/vectors/{path}", {"text": texts})
                for path in ("generate", "generate_stream")
            ]
            assert json.loads(stream.text.removeprefix("data: ")) == whole.json()
            assert (threads["piece"] == threading.get_ident()) is in_the_loop

    with_both(test, load(vectors, max_queue=4000))


def test_a_server_that_drains_or_has_no_models_yet_says_when_to_come_again(labels: Path) -> None:
    async def test(server: Both) -> None:
        text = in_json(tensor("text", ["a"], "BYTES"))
        await server.grpc.front_end.drain(0)
        answer = await server.post("/v2/models/labels/infer", text)
        assert (error_of(answer)[0], answer.headers["retry-after"]) == (503, "1")

    with_both(test, load(labels))
    loading = Site(http_app(Metrics(), lambda: False, front_end=lambda: None, inference=lambda: None))
    try:
        assert loading.ask("/v2/health/live")[0] == 200
        for path in ("/v2/health/ready", "/v2", "/v2/models/labels/ready"):
            assert loading.ask(path)[0] == 503
    finally:
        loading.close()


async def exchange(address: str, request: bytes) -> bytes:
    """All that comes back on a connection of its own."""
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(request)
    found = await asyncio.wait_for(reader.read(), HANGS_S)
    writer.close()
    return found


def test_a_length_of_the_json_that_is_none(labels: Path) -> None:
    async def test(server: Both) -> None:
        body = json.dumps(in_json(tensor("text", ["a"], "BYTES"))).encode()
        for length in ("-1", "1e3", "99999", "9" * 400, "\u0663", "3 4", ""):
            said = f"connection: close\r\n{LENGTH}: {length}\r\ncontent-length: {len(body)}"
            head = f"POST /v2/models/labels/infer HTTP/1.1\r\nhost: here\r\n{said}\r\n\r\n"
            answer = await exchange(server.address, head.encode() + body)
            assert answer.startswith(b"HTTP/1.1 400 "), answer
            assert b"inference-header-content-length is " in answer

    with_both(test, load(labels))
