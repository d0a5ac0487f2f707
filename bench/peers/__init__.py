"""Contenders of ``python -m bench``: all drain the same topics and must write the same."""
