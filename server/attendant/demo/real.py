"""A real model for the demo: the exporter, in a process of its own, fetches it and makes a bundle, once."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

_PRECISION = "int8"
_TOOL = "attendant_export.checkpoints"


class RealModelUnavailable(Exception):
    """The model cannot be had; ``str(error)`` says why, or that the exporter has said it already."""


def real_model(name: str) -> Path:
    """The folder of the bundle of a trained model, from the cache of this user or made now; tells its stages on stderr.

    Args:
        name: of a checkpoint of the exporter, e.g. ``smollm2``.

    Raises:
        RealModelUnavailable: the exporter is not installed, or could not fetch or export the model.
    """
    if importlib.util.find_spec("attendant_export") is None:
        raise RealModelUnavailable(f"{name} needs the exporter, which this installation comes without")
    print(
        f"{name} in {_PRECISION}: the first time it is fetched, converted and exported; then it is kept",
        file=sys.stderr,
    )
    command = [sys.executable, "-m", _TOOL, name, "--bundle", _PRECISION]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RealModelUnavailable(f"{name} cannot be served: see above")
    return Path(done.stdout.splitlines()[-1])
