"""Locust as a command without a page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.system.server import environment


def run_headless(locustfile: Path | str, *arguments: object) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """Returns Locust's statistics by name, and the process."""
    words = [sys.executable, "-m", "locust", "-f", locustfile, "--headless", "--json", *arguments]
    process = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, timeout=300, env=environment(), check=False
    )
    assert process.stdout, process.stderr
    return {entry["name"]: entry for entry in json.loads(process.stdout)}, process
