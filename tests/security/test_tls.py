"""TLS as callers meet it: handshakes over gRPC and HTTP, certificates of callers, new ones while streams run."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc.aio
import httpx
import openai
import pytest
import trustme
from attendant.app import Application, Endpoints
from attendant.settings import AuthSettings, EngineSettings, GrpcSettings, HttpSettings, ServeSettings, TlsSettings
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc, models_pb2, models_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.security.authority import row, write_ca, write_identity, write_workload
from tests.synthetic import make_synthetic_bundle

LISTING = models_pb2.ListModelsRequest()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def stranger() -> trustme.CA:
    """An authority that nobody knows."""
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    return make_synthetic_bundle(folder / "fast", name="fast", eos_bias=-1e4, context_length=50_000)


@dataclass
class Served:
    """A server with TLS, whose files are in a folder."""

    folder: Path
    application: Application
    endpoints: Endpoints

    def channel(self, *, ca: str = "ca.pem", caller: str = "", port: int | None = None) -> grpc.aio.Channel:
        """A connection of a caller who believes ``ca``. ``caller``: name of its certificate's files."""
        key, chain = (self.bytes(f"{caller}.{end}") if caller else None for end in ("key", "crt"))
        credentials = grpc.ssl_channel_credentials(self.bytes(ca), key, chain)
        number = port or self.endpoints.grpc.rpartition(":")[2]
        return grpc.aio.secure_channel(f"localhost:{number}", credentials)

    def http(self, *, ca: str = "ca.pem", caller: str = "") -> httpx.AsyncClient:
        """The same over HTTP."""
        context = ssl.create_default_context(cafile=str(self.folder / ca))
        if caller:
            context.load_cert_chain(self.folder / f"{caller}.crt", self.folder / f"{caller}.key")
        return httpx.AsyncClient(base_url=self.url, verify=context, timeout=300)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.endpoints.http.rpartition(':')[2]}"

    def bytes(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@asynccontextmanager
async def serving(folder: Path, bundle: Path, callers: str = "", **tls: Any) -> AsyncIterator[Served]:
    if callers:
        (folder / "callers.yaml").write_text(callers)
    application = Application(
        ServeSettings(
            bundles=(bundle,),
            engine=EngineSettings(threads=1, spinning=False),
            grpc=GrpcSettings(port=0),
            http=HttpSettings(port=0),
            vllm_engine=("0=fast",),
            tls=TlsSettings(certificate=folder / "server.crt", key=folder / "server.key", **tls),
            auth=AuthSettings(tokens=folder / "callers.yaml" if callers else None),
        )
    )
    try:
        yield Served(folder, application, await application.start())
    finally:
        await application.stop()


def with_server(
    test: Callable[[Served], Awaitable[None]], folder: Path, bundle: Path, callers: str = "", **tls: Any
) -> None:
    async def main() -> None:
        async with serving(folder, bundle, callers, **tls) as served:
            await test(served)

    asyncio.run(asyncio.wait_for(main(), 600))


async def names(channel: grpc.aio.Channel, **call: Any) -> list[str]:
    async with channel:
        stub: Any = models_pb2_grpc.ModelsStub(channel)
        return [model.name for model in (await stub.ListModels(LISTING, **call)).models]


async def code_of(channel: grpc.aio.Channel, **call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await names(channel, **call)
    return caught.value.code().name


@pytest.mark.filterwarnings("ignore:.*TLSv1_1")
def test_ports_are_encrypted_and_tokens_go_with_that(
    tmp_path: Path, ca: trustme.CA, stranger: trustme.CA, bundle: Path
) -> None:
    write_identity(tmp_path, ca)
    write_ca(tmp_path, ca)
    write_ca(tmp_path, stranger, "stranger")

    async def test(served: Served) -> None:
        mine = (("authorization", "Bearer t1"),)
        assert await names(served.channel(), metadata=mine) == ["fast"]
        assert await code_of(served.channel()) == "UNAUTHENTICATED"
        assert await code_of(served.channel(ca="stranger.pem"), metadata=mine) == "UNAVAILABLE"
        assert await code_of(grpc.aio.insecure_channel(served.endpoints.grpc), metadata=mine) == "UNAVAILABLE"
        async with served.channel(port=int(served.endpoints.engines[0].address.rpartition(":")[2])) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
        async with served.http() as client:
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/v1/models")).status_code == 401
            for key, works in (("t1", True), ("t2", False)):
                web = cast(Any, served.http())
                async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=key, http_client=web) as chat:
                    if works:
                        said = await chat.completions.create(model="fast", prompt="a", max_tokens=3)
                        assert said.usage.completion_tokens == 3
                    else:
                        with pytest.raises(openai.AuthenticationError, match="nobody is known by the token"):
                            await chat.models.list()
        async with served.http(ca="stranger.pem") as client:
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                await client.get("/healthz")
        for address in (served.endpoints.grpc, served.endpoints.http):
            await asyncio.to_thread(old_tls_is_refused, address)

    with_server(test, tmp_path, bundle, row("me", "t1"))


def old_tls_is_refused(address: str) -> None:
    host, _, port = address.rpartition(":")
    for version, works in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.set_alpn_protocols(["h2"])
        context.minimum_version, context.maximum_version = min(version, ssl.TLSVersion.TLSv1_2), version
        with socket.create_connection((host, int(port)), 60) as raw:
            if works:
                context.wrap_socket(raw).close()
                continue
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(raw)


def test_callers_are_known_by_their_certificates(
    tmp_path: Path, ca: trustme.CA, stranger: trustme.CA, bundle: Path
) -> None:
    write_identity(tmp_path, ca)
    write_workload(tmp_path, ca, "alice", "spiffe://home/alice")
    write_identity(tmp_path, stranger, "mallory", "mallory.example")
    write_identity(tmp_path, ca, "late", "late.example", expired=True)
    write_identity(tmp_path, ca, "bob", "bob.example")
    ca_file = write_ca(tmp_path, ca)
    callers = "- {name: alice, certificate: 'spiffe://home/alice', scopes: [infer]}\n" + row("me", "t1")

    async def test(served: Served) -> None:
        assert await names(served.channel(caller="alice")) == ["fast"]
        assert await code_of(served.channel(caller="bob")) == "UNAUTHENTICATED"  # the file does not know it
        assert await names(served.channel(caller="bob"), metadata=(("authorization", "Bearer t1"),)) == ["fast"]
        for caller in ("", "mallory", "late"):
            assert await code_of(served.channel(caller=caller)) == "UNAVAILABLE"
        async with served.http(caller="alice") as client:
            assert (await client.get("/v1/models")).status_code == 200
            assert (await client.get("/metrics")).status_code == 403
        async with served.http(caller="bob") as client:
            assert (await client.get("/v1/models")).status_code == 401
        for caller in ("", "mallory", "late"):
            async with served.http(caller=caller) as client:
                with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
                    await client.get("/healthz")

    with_server(test, tmp_path, bundle, callers, client_ca=ca_file)


def test_probes_need_no_certificate_where_http_only_asks_for_one(tmp_path: Path, ca: trustme.CA, bundle: Path) -> None:
    write_identity(tmp_path, ca)
    write_identity(tmp_path, ca, "alice", "alice.example")

    async def test(served: Served) -> None:
        async with served.http() as client:
            assert (await client.get("/healthz")).status_code == 200
            answer = await client.get("/v1/models")
            assert (answer.status_code, "tls.client_ca" in answer.text) == (401, True)
        async with served.http(caller="alice") as client:
            assert (await client.get("/metrics")).status_code == 200
        assert await names(served.channel(caller="alice")) == ["fast"]
        assert await code_of(served.channel()) == "UNAVAILABLE"

    with_server(test, tmp_path, bundle, client_ca=write_ca(tmp_path, ca), client_certificates="grpc")


def test_a_new_certificate_is_shown_to_new_connections_and_streams_go_on(
    tmp_path: Path, ca: trustme.CA, bundle: Path
) -> None:
    write_identity(tmp_path, ca)
    write_ca(tmp_path, ca)

    async def test(served: Served) -> None:
        guard = served.application._guard
        before = guard.identity.value
        async with served.channel() as channel, served.http() as client:
            generation: Any = generation_pb2_grpc.GenerationStub(channel)
            asked = pb.GenerateRequest(text="a", stopping=pb.Stopping(max_tokens=40_000))
            streams = [aiter(generation.Generate(asked)) for _ in range(4)]
            body = {"model": "fast", "prompt": "a", "max_tokens": 40_000, "stream": True}
            async with client.stream("POST", "/v1/completions", json=body) as answer:
                events = answer.aiter_lines()
                for each in (*streams, events):
                    await anext(each)
                (tmp_path / "server.crt").write_bytes(b"broken")
                await read_again(served)
                assert guard.identity.value is before
                other = trustme.CA()
                write_identity(tmp_path, other)
                write_ca(tmp_path, other, "other")
                await read_again(served)
                assert guard.identity.value is not before
                for _ in range(20):
                    for each in (*streams, events):
                        await anext(each)
        assert await names(served.channel(ca="other.pem")) == ["fast"]
        assert await code_of(served.channel()) == "UNAVAILABLE"
        async with served.http(ca="other.pem") as client:
            assert (await client.get("/healthz")).status_code == 200
        async with served.http() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/healthz")

    with_server(test, tmp_path, bundle)


async def read_again(served: Served) -> None:
    """Have files read again, as on SIGHUP, and wait until they were."""
    for kept in served.application._guard._kept:
        await asyncio.to_thread(kept.follow, asked=True)


def test_authorities_that_are_not_believed_any_more_let_nobody_in(tmp_path: Path, ca: trustme.CA, bundle: Path) -> None:
    other = trustme.CA()
    write_identity(tmp_path, ca)
    write_identity(tmp_path, ca, "alice", "alice.example")
    write_identity(tmp_path, other, "bob", "bob.example")
    write_ca(tmp_path, ca)

    async def test(served: Served) -> None:
        assert await names(served.channel(caller="alice")) == ["fast"]
        write_ca(tmp_path, other, "callers")
        await read_again(served)
        assert await code_of(served.channel(caller="alice")) == "UNAVAILABLE"
        assert await names(served.channel(caller="bob")) == ["fast"]
        async with served.http(caller="bob") as client:
            assert (await client.get("/v1/models")).status_code == 200
        async with served.http(caller="alice") as client:
            with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
                await client.get("/healthz")

    with_server(test, tmp_path, bundle, client_ca=write_ca(tmp_path, ca, "callers"))
