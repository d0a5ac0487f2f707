"""Traces and metrics for OpenTelemetry, beside logs and Prometheus; nothing of it runs when off."""
