"""Dashboards for Grafana: an overview, one model, objectives, routes, hardware."""

from __future__ import annotations

from typing import Any

from deploy.grafana import hardware, model, objectives, overview, routes


def dashboards() -> dict[str, dict[str, Any]]:
    """As Grafana reads them, by the name of their file."""
    boards = (overview.BOARD, model.BOARD, objectives.BOARD, routes.BOARD, hardware.BOARD)
    return {board.uid: board.to_json() for board in boards}
