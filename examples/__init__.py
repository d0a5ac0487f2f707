"""Serving systems to copy from: they use ``serving`` and ``schemas``, nothing else of ours."""
