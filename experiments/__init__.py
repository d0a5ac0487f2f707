"""Data sets, models, simulations and the demo."""
