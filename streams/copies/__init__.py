"""Rewards and control messages in formats of others: their schemas, and what writes them."""
