"""Prometheus and promtool: those of the machine, or Debian's, fetched once and kept beside the trained checkpoints."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml


def find(name: str) -> Path:
    """Path of ``prometheus`` or ``promtool``. Skips the test where it cannot be had."""
    if found := shutil.which(name):
        return Path(found)
    kept = _cache() / "usr" / "bin" / name
    if not kept.exists():
        _fetch()
    return kept


def _cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "attendant" / "prometheus"


def _fetch() -> None:
    """Debian's package, unpacked and not installed: that needs no root."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("there is no promtool and no prometheus on PATH, and no apt-get that could fetch them")
    folder = _cache()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        done = subprocess.run(
            ["apt-get", "download", "-q", "prometheus"], cwd=scratch, capture_output=True, text=True, check=False
        )
        packages = list(Path(scratch).glob("prometheus_*.deb"))
        if done.returncode or not packages:
            pytest.skip(f"prometheus cannot be fetched: {done.stderr.strip()[-300:]}")
        unpacked = Path(scratch) / "unpacked"
        subprocess.run(["dpkg-deb", "-x", str(packages[0]), str(unpacked)], check=True)
        with suppress(OSError):  # another worker was faster
            unpacked.rename(folder)


class PrometheusProcess:
    """A Prometheus that scrapes one server each second, with our rules. ``address`` is that of its HTTP API."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, log: Path) -> None:
        self._process, self._address, self._log = process, address, log

    def query(self, text: str) -> list[dict[str, Any]]:
        """What PromQL gives now: series with ``metric``, its labels, and ``value``, a time and a text. Empty as long as
        it does not listen yet.

        Raises:
            AssertionError: Prometheus has ended, or does not understand the query.
        """
        return self._ask("query", query=text)

    def between(self, text: str, start: float, end: float, step_s: float) -> list[dict[str, Any]]:
        """The same over a time, of Unix seconds: ``values`` are as many times and texts."""
        return self._ask("query_range", query=text, start=start, end=end, step=step_s)

    def _ask(self, what: str, **parameters: object) -> list[dict[str, Any]]:
        assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
        try:
            with urlopen(f"{self._address}/api/v1/{what}?{urlencode(parameters)}", timeout=60) as answer:
                found = json.load(answer)
        except HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
                return []
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        except URLError:
            return []
        result: list[dict[str, Any]] = found["data"]["result"]
        return result


@contextmanager
def watching(target: str, rules: Path, folder: Path) -> Iterator[PrometheusProcess]:
    """Run Prometheus on the loopback. ``target``: host and port of a server's /metrics; ``folder`` takes its files."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "attendant", "static_configs": [{"targets": [target]}]}],
    }
    file, log = folder / "prometheus.yaml", folder / "prometheus.log"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    words = [str(find("prometheus")), f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*words, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], stdout=errors, stderr=errors
        )
    try:
        yield PrometheusProcess(process, f"http://127.0.0.1:{port}", log)
    finally:
        process.terminate()
        process.wait()
