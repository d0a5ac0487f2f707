"""Throughput and latency along the axes of growth."""
