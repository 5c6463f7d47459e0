"""How a server leaves, and what it does about models whose engines hang or die."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from attendant.settings.section import Section

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class LifecycleSettings(Section):
    """The end of a server, and engines that hang or die."""

    drain_delay_s: Seconds = Field(
        0.0,
        description="Seconds after SIGTERM in which the server says that it is not ready and still takes calls, so "
        "that balancers look elsewhere first. On Kubernetes 5 to 15.",
    )
    watchdog_s: Seconds = Field(
        60.0,
        description="Seconds that one step of an engine, or one batch, may take before the model counts as hanging: "
        "its health fails, and the server's. More than any real step takes. 0: nobody looks.",
    )
    watchdog_exit_s: Seconds | None = Field(
        None,
        description="Seconds that a model may hang, after watchdog_s, before the process exits with 1, so that whoever "
        "runs it starts it anew: a thread that hangs cannot be ended. Default: never.",
    )
    max_restarts: Annotated[int, Field(ge=0, le=1000)] = Field(
        3,
        description="Times within restart_window_s that a model whose engine died is loaded anew; once more, and the "
        "process exits with 1. 0: it does so at once.",
    )
    restart_window_s: Seconds = Field(600.0, description="Seconds after which a death counts no more.")
    restart_backoff_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = Field(
        1.0, description="Seconds before a dead model is loaded anew; twice as many after each further death."
    )
