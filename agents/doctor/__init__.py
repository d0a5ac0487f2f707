"""``leverframe doctor``: a shell gathers facts, pure judgements turn them into findings."""
