"""The settings of a route, as written and compiled."""
