"""An engine of a test's bundle in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attendant.bundle import read_manifest
from attendant.core.fair_order import OrderRules
from attendant.models.engine_process import EngineOrder, EngineProcess
from attendant.models.ledger import Account
from attendant.settings import EngineSettings, GpuSettings


def engine_process(bundle: Path, **settings: Any) -> EngineProcess:
    """The process, which has loaded the bundle."""
    manifest = read_manifest(bundle)
    chosen = EngineSettings(**{"max_num_seqs": 4, "max_queue": 4, "spinning": False} | settings)
    order = EngineOrder(bundle, manifest, chosen, GpuSettings(), Account.alone(manifest.name), OrderRules())
    return EngineProcess(order, lambda line: None)
