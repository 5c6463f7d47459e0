"""What models have done, of the counters that /metrics has."""

from __future__ import annotations

from collections.abc import Mapping

from attendant_proto.openinference import inference_pb2 as pb

from attendant.metrics.triton import ModelFigures


def statistics(name: str, version: str, figures: ModelFigures) -> pb.ModelStatistics:
    """Those of one model. Times are of requests added up; those of requests that failed are not counted."""
    return pb.ModelStatistics(
        name=name,
        version=version,
        last_inference=figures.last_ms,
        inference_count=figures.inferences,
        execution_count=figures.executions,
        inference_stats=pb.InferStatistics(
            success=_duration(figures.successes, figures.request_ns),
            fail=_duration(figures.failures, 0),
            queue=_duration(figures.successes, figures.queue_ns),
            compute_input=_duration(figures.successes, figures.input_ns),
            compute_infer=_duration(figures.successes, figures.infer_ns),
            compute_output=_duration(figures.successes, 0),
        ),
    )


def all_statistics(versions: Mapping[str, str], figures: Mapping[str, ModelFigures]) -> pb.ModelStatisticsResponse:
    """Of each model in ``versions``, which are theirs by name. What was counted is that of all versions together."""
    return pb.ModelStatisticsResponse(
        model_stats=[statistics(name, versions[name], figures.get(name, ModelFigures())) for name in sorted(versions)]
    )


def _duration(count: int, ns: int) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=count, ns=ns)
