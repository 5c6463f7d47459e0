"""Traces: the way of each call as spans of OpenTelemetry, for those calls that somebody wants to see. The only importer
of opentelemetry, imported itself only where traces are switched on."""
