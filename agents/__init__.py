"""Thin Faust shells, app wiring, settings and the command line."""
