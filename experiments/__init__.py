"""Questions asked of the engine: one file a hypothesis."""
