"""Parts of the simulator; `personalize.simulate.simulate_clinic` puts them together."""
