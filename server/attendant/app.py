"""The composition root: builds the rooms bottom-up, starts them, waits for an end, and takes them down in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from attendant.building import host_and_port, load_named, recorder_of, tracer_of, warn_of_unknown
from attendant.bundle.signatures import BundleKeys
from attendant.drain import Leaving
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.routes.reader import RoutesReader
from attendant.http.side import HttpSide
from attendant.logs.begin import announce
from attendant.logs.requests import RequestLog
from attendant.metrics import Metrics
from attendant.models import garbage
from attendant.models.loader import ModelLoader
from attendant.rpc.bounds import MessageBounds
from attendant.rpc.server import RpcServer
from attendant.rpc.vllm.ports import EngineEndpoint, EnginePorts
from attendant.security.exposure import check_exposure
from attendant.security.guard import Guard
from attendant.settings import ServeSettings
from attendant.traffic.recorder import Recorder

logger = logging.getLogger("attendant")

EXIT_OK = 0
EXIT_ENGINE_DIED = 1

# Seconds that the last words to callers may take to leave, once nothing runs any more.
FAREWELL_S = 2.0

# Seconds between the end of all work and that of the port: calls on their way still hear why they are refused. gRPC
# would end those that it holds when it stops as CANCELLED, which callers do not try elsewhere.
LAST_CALLS_S = 0.2

# Python lets a busy thread run 5 ms before another gets its turn; that would be added to every step of the engine.
SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True, slots=True)
class Endpoints:
    """host:port of each listener, with the real ports. ``engines``: those with one model each."""

    grpc: str
    http: str
    engines: tuple[EngineEndpoint, ...] = ()


async def serve(settings: ServeSettings, ready: Callable[[Endpoints], Awaitable[bool]] | None = None) -> int:
    """Serve until a signal or the death of an engine.

    Args:
        settings: checked already.
        ready: awaited once the server serves; false stops the server, an exception stops it and is raised.

    Returns:
        The process's exit code: 0 after a signal, 1 after an engine died.

    Raises:
        ConfigurationError: a port, a bundle or a setting that cannot be used.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    application = Application(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, application.on_signal, number)
    loop.add_signal_handler(signal.SIGHUP, application.on_hangup)
    try:
        endpoints = await application.start()
        say = partial(announce, settings=settings.logs)
        say(f"gRPC on {endpoints.grpc}", grpc=endpoints.grpc)
        for engine in endpoints.engines:
            say(f"VllmEngine of {engine.model} on {engine.address}", model=engine.model, grpc=engine.address)
        web = f"{'http' if settings.tls.certificate is None else 'https'}://{endpoints.http}"
        if settings.http.page != "off":
            say(f"page on {web}/", page=f"{web}/")
        say(f"metrics on {web}/metrics", metrics=f"{web}/metrics")
        visit = asyncio.ensure_future(_visit(application, ready, endpoints)) if ready else None
        await application.ended()
        if visit is not None and visit.done():
            visit.result()
    finally:
        await application.stop()
    return application.exit_code


async def _visit(application: Application, ready: Callable[[Endpoints], Awaitable[bool]], endpoints: Endpoints) -> None:
    go_on = False
    try:
        go_on = await ready(endpoints)
    finally:
        if not go_on:
            # After this task is done, so that its exception can be seen.
            asyncio.get_running_loop().call_soon(application.request_stop)


class Application:
    """One server process. Every method belongs to one event loop."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._end = asyncio.Event()
        self.exit_code = EXIT_OK
        told = settings.metrics
        self._metrics = Metrics(
            objectives=settings.slo.by_model(),
            vllm_names=told.vllm_names,
            triton_names=told.triton_names,
            most_tenants=told.most_tenants,
        )
        self._addresses: dict[str, tuple[str, int]] = {}
        self._tracer = tracer_of(settings.traces, self._metrics, self._addresses) if settings.traces.enabled else None
        check_exposure(settings)
        self._guard = guard = Guard(settings.tls, settings.auth, self._metrics.security)
        refused, bounds = self._metrics.refusals.refused, MessageBounds(settings.limits)
        log = RequestLog(settings.logs) if settings.logs.requests else None
        explain = settings.explain.enabled
        self._rpc = RpcServer(
            settings.grpc, self._tracer, explain=explain, guard=guard, refused=refused, log=log, bounds=bounds
        )
        self._engines = EnginePorts(settings.grpc, settings.engine_ports(), self._tracer, guard, refused, log, bounds)
        self._recorder: Recorder | None = None
        self._front_end: FrontEnd | None = None
        self._hung_up = False
        self._routes = RoutesReader(settings.routes, self._metrics.routes) if settings.routes is not None else None
        explains = settings.explain.enabled
        self._http = HttpSide(
            settings.http,
            self._metrics,
            lambda: self._front_end,
            lambda: self._rpc.inference,
            self._is_serving,
            self._tracer,
            explains=explains,
            guard=guard,
            log=log,
        )

    async def start(self) -> Endpoints:
        """Take the ports, load the models, serve.

        Raises:
            ConfigurationError: a port, a bundle or a setting that cannot be used.
        """
        endpoints = Endpoints(self._rpc.bind(), self._http.bind(), self._engines.bind())
        self._addresses |= {"grpc": host_and_port(endpoints.grpc), "http": host_and_port(endpoints.http)}
        if self._tracer is not None:
            self._tracer.start()
        self._recorder = recorder_of(self._settings.record, self._metrics)
        self._guard.start()
        await self._http.start()
        settings, loader = self._settings, self._loader()
        routes = self._routes.read() if self._routes is not None else None
        garbage.freeze()
        front_end = FrontEnd(
            self._metrics,
            self._on_engine_death,
            settings.speech,
            explain=settings.explain,
            grammar=settings.grammar,
            chat=settings.chat,
            admission=settings.admission,
            limits=settings.limits,
            loader=loader,
            on_change=self._on_change,
            repository=settings.repository,
            folder=settings.model_repository,
            drain_timeout_s=settings.drain_timeout_s,
            lifecycle=settings.lifecycle,
        )
        bundles = await load_named(loader, settings, beside=await front_end.repository.survey())
        await front_end.start(bundles, strict=settings.strict, routes=routes)
        self._front_end = front_end
        warn_of_unknown(settings.slo.by_model(), front_end)
        del bundles  # the table has them, and lets go of those that are unloaded
        await self._rpc.start(front_end, self._recorder)
        await self._engines.start(front_end)
        await self._on_change(serving=True)
        if self._hung_up:
            self.on_hangup()
        return endpoints

    async def ended(self) -> None:
        """Wait for a signal, the death of an engine, or :meth:`request_stop`."""
        await self._end.wait()

    def request_stop(self) -> None:
        """End soon."""
        self._end.set()

    async def stop(self) -> None:
        """Say NOT_SERVING, let running requests finish within the drain limit, fail the rest, close every room."""
        if self._front_end is not None:
            await self._leave(self._front_end)
            await asyncio.gather(self._rpc.stop(FAREWELL_S), self._engines.stop(FAREWELL_S))
            if not self._front_end.hangs:
                await self._front_end.close()
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)
        await self._http.stop()
        await self._guard.stop()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)
        if self._front_end is not None and self._front_end.hangs:
            logger.critical("leaving without the end of the run that hangs")
            logging.shutdown()
            os._exit(self.exit_code)

    async def _leave(self, front_end: FrontEnd) -> None:
        settings = self._settings
        leaving = Leaving(
            settings.lifecycle.drain_delay_s,
            settings.drain_timeout_s,
            partial(self._on_change, serving=False),
            (self._rpc, self._engines, self._http),
            front_end.remaining,
            front_end.drain,
        )
        await leaving.leave()
        await asyncio.sleep(LAST_CALLS_S)

    def on_signal(self, number: int) -> None:
        """The first signal stops the server in order; a second one, or one before it serves, ends the process."""
        if self._end.is_set() or self._front_end is None:
            logger.warning("%s: leaving at once", signal.Signals(number).name)
            logging.shutdown()
            os._exit(128 + number)
        logger.info("%s: draining for at most %g s", signal.Signals(number).name, self._settings.drain_timeout_s)
        self.request_stop()

    def on_hangup(self) -> None:
        """SIGHUP: read the files of certificates and callers again, and once the server serves that of routes."""
        self._guard.read_again()
        if self._routes is None:
            logger.info("SIGHUP: there is no routes file to read again (setting routes)")
        elif self._front_end is None:
            self._hung_up = True
        else:
            self._routes.read_again(self._front_end.put_routes)

    def _is_serving(self) -> bool:
        return self._rpc.health.serving

    def _loader(self) -> ModelLoader:
        settings = self._settings
        return ModelLoader(
            settings.engine,
            encoder=settings.encoder,
            gpu=settings.gpu,
            verify=settings.verify_bundles,
            keys=BundleKeys(settings.bundle_keys) if settings.bundle_keys is not None else None,
            progress=logger.info,
            prepared=settings.prepared_weights,
            order=settings.admission.order_rules(),
        )

    async def _on_change(self, *, serving: bool | None = None) -> None:
        """Models came or went: who asks for their health hears so. ``serving``: so does the server as a whole."""
        if self._front_end is None:  # at the start all are told at once
            return
        serving = self._rpc.health.open if serving is None else serving
        await self._rpc.health.set(serving=serving, models=self._front_end.readiness(), well=self._front_end.well)
        await self._engines.set_health(serving=serving)

    def _on_engine_death(self, model: str, error: BaseException) -> None:
        logger.critical("the engine of model %r died, and the server ends", model, exc_info=error)
        self.exit_code = EXIT_ENGINE_DIED
        self.request_stop()
