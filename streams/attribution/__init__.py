"""Predictions and labels become rewards; knows nothing of learning."""
