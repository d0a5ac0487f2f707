"""Deciding and feedback over HTTP: the OpenFeature remote evaluation protocol, and labels."""
