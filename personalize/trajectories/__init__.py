"""Forecasts of the outcome: members, their weights and bands, baselines, evaluation."""
