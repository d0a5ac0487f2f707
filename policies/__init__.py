"""Statistics to weights and verdicts; pure functions."""
