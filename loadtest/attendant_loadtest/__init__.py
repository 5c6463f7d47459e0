"""Locust users, workloads and benchmarks."""
