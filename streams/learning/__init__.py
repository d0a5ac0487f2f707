"""Rewards and commands become control messages; knows nothing of attribution."""
