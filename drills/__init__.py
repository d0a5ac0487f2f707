"""Failure drills: real workers, real brokers, recorded arrivals, injections, an outside verdict."""
