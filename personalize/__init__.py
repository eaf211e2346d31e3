"""From tables to models, explanation and report."""
