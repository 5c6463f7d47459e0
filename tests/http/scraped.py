"""`python -m tests.http.scraped [SECONDS]`: what scrapes cost a server at full load, in its processor time for a token.

Tokens a second scatter by a fifth from second to second on a machine that others use too, which hides a hundredth. The
processor time of the server's process for each token scatters less: windows of a second with and without scrapes take
turns in random order, and each is compared with that of its own round in which the same is asked of a stand-in, so that
what the scraper does beside the server is the same in all.
"""

from __future__ import annotations

import math
import multiprocessing
import random
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.request import urlopen

import grpc
import numpy as np
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

from tests.system.server import ServerProcess, serving

CALLERS = 8
WINDOW_S = 1.0
WARM_UP_S = 5.0
PAGES: Mapping[str, Mapping[str, int]] = {
    "/metrics/load 20 times a second": {"/metrics/load": 20},
    "/metrics once a second": {"/metrics": 1},
    "both": {"/metrics/load": 20, "/metrics": 1},
}
"""What is scraped, and how often a second."""
RESAMPLED = 10_000


class Load:
    """Callers that stream one answer after the other, until :meth:`close`."""

    def __init__(self, address: str) -> None:
        self.num_tokens = [0] * CALLERS
        self._channel = grpc.insecure_channel(address)
        self._stub = generation_pb2_grpc.GenerationStub(self._channel)
        self._threads = [threading.Thread(target=self._ask_on, args=(i,)) for i in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Give up what runs."""
        self._channel.close()
        for thread in self._threads:
            thread.join()

    def _ask_on(self, caller: int) -> None:
        stopping = pb.Stopping(max_tokens=200, ignore_eos=True)
        message = pb.GenerateRequest(model="demo", text="Where is my order?", stopping=stopping)
        with suppress(grpc.RpcError, ValueError):  # the channel is closed
            while True:
                for response in self._stub.Generate(message):
                    self.num_tokens[caller] += len(response.token_ids)


class Scraper:
    """Asks for pages over one connection that stays open, as scrapers do."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._connection = socket.create_connection((host, int(port)))

    def get(self, page: str) -> None:
        """Read all of an answer whose head says how long it is."""
        self._connection.sendall(f"GET {page} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        heard = b""
        while b"\r\n\r\n" not in heard:
            heard += self._connection.recv(65536)
        head, _, body = heard.partition(b"\r\n\r\n")
        (length,) = re.findall(rb"content-length: (\d+)", head.lower())
        missing = int(length) - len(body)
        while missing > 0:
            missing -= len(self._connection.recv(65536))

    def watch(self, pages: Mapping[str, int], end: float) -> None:
        """Get each page so often a second until ``end``, at even distances."""
        start = time.monotonic()
        due = sorted((start + (k + 0.5) / often, page) for page, often in pages.items() for k in range(often))
        for at, page in due:
            time.sleep(max(0.0, min(at, end) - time.monotonic()))
            self.get(page)
        time.sleep(max(0.0, end - time.monotonic()))


def stand_in(pages: Mapping[str, int], told: Connection) -> None:
    """A process that gives pages of these sizes to one scraper, and tells its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        told.send("{}:{}".format(*listener.getsockname()))
        connection, _ = listener.accept()
        while heard := connection.recv(65536):
            size = pages[heard.split()[1].decode()]
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))


@contextmanager
def standing_in(server: ServerProcess) -> Iterator[Scraper]:
    """A scraper of a stand-in for a server."""
    sizes = {page: len(urlopen(server.http + page).read()) for page in ("/metrics", "/metrics/load")}
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=stand_in, args=(sizes, there), daemon=True)
    child.start()
    yield Scraper(here.recv())
    child.kill()


def processor_ns(pid: int) -> int:
    """Of all threads of a process, as Linux's scheduler counts it."""
    return sum(int(task.joinpath("schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())


@dataclass(frozen=True)
class Window:
    """What was seen in a window: seconds of the server's processor time, and tokens that came."""

    processor_s: float
    num_tokens: int

    @property
    def cost(self) -> float:
        """Processor time for a token."""
        return self.processor_s / self.num_tokens


def watch(server: ServerProcess, load: Load, scraper: Scraper, pages: Mapping[str, int]) -> Window:
    """One window."""
    before, tokens = processor_ns(server.process.pid), sum(load.num_tokens)
    scraper.watch(pages, time.monotonic() + WINDOW_S)
    return Window((processor_ns(server.process.pid) - before) / 1e9, sum(load.num_tokens) - tokens)


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean, and where it lies with 95 % confidence: percentiles of means of the values drawn anew with replacement
    (Efron's bootstrap)."""
    found = np.asarray(values)
    means = np.random.default_rng(seed).choice(found, (RESAMPLED, len(found))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(found.mean()), float(low), float(high)


Round = Mapping[tuple[str, bool], Window]
"""By the way to scrape, and whether the server was asked or the stand-in."""


def told(rounds: Sequence[Round]) -> list[str]:
    """A line for each way to scrape: by how much a token costs more than in the same round with the stand-in."""
    alone = [window for found in rounds for (_, asked), window in found.items() if not asked]
    tokens, cost = (float(np.mean([getattr(window, name) for window in alone])) for name in ("num_tokens", "cost"))
    lines = [f"{len(rounds)} rounds; unscraped: {tokens / WINDOW_S:.0f} tokens/s, {1e6 * cost:.1f} us each"]
    for name in PAGES:
        more = [100 * math.log(found[name, True].cost / found[name, False].cost) for found in rounds]
        mean, low, high = interval(more)
        lines.append(f"{name}: {mean:+.2f} % ({low:+.2f} to {high:+.2f})")
    return lines


def main(seconds: float = 150.0) -> int:
    """Measure for so many seconds."""
    chance = random.Random(0)
    flags = ("--demo", "--engine.max-num-seqs", CALLERS, "--engine.threads", 1, "--no-engine.spinning")
    ways = [(name, asked) for name in PAGES for asked in (False, True)]
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "log", *flags) as server,
        standing_in(server) as nobody,
    ):
        somebody, load = Scraper(server.http.removeprefix("http://")), Load(server.grpc)
        try:
            time.sleep(WARM_UP_S)
            rounds: list[Round] = []
            for _ in range(max(2, round(seconds / WINDOW_S / len(ways)))):
                order = chance.sample(ways, len(ways))
                rounds.append(
                    {
                        (name, asked): watch(server, load, somebody if asked else nobody, PAGES[name])
                        for name, asked in order
                    }
                )
        finally:
            load.close()
    print("\n".join(told(rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
