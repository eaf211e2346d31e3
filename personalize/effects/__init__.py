"""How much each patient's outcome depends on change in the alliance."""
