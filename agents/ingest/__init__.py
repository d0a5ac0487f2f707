"""Reads topics that exist already, and writes what their records mean to ours."""
