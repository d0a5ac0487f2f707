"""How often the intervals of off-policy evaluation hold the truth."""
