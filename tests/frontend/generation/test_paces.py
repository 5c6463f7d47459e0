"""What an engine has learnt of its steps is told to whoever looks."""

from __future__ import annotations

from attendant.core.pace import Pace
from attendant.metrics import Metrics
from prometheus_client import CollectorRegistry


def test_the_latest_pace_is_on_the_page() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.add_model("m")
    assert b"attendant_step_cost_seconds{" not in metrics.render()[0], "nothing is known of steps yet"
    metrics.paces.told("m", Pace(step=1.0))
    metrics.paces.told("m", Pace(step=0.5, row=0.25, num_steps=2))
    page = metrics.render()[0].decode()
    assert 'attendant_step_cost_seconds{model_name="m",part="step"} 0.5' in page
    assert 'attendant_step_cost_seconds{model_name="m",part="row"} 0.25' in page


def test_what_steps_of_a_model_cost_leaves_with_it() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.add_model("m", owner=1)
    metrics.paces.told("m", Pace(step=0.5))
    assert b"attendant_step_cost_seconds{" in metrics.render()[0]
    metrics.forget_model("m", owner=1)
    assert b"attendant_step_cost_seconds{" not in metrics.render()[0]
