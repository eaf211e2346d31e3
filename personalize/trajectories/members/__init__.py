"""Members of a forecast: each learns from training patients and forecasts targets behind one interface (`member`)."""
