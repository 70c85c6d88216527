"""The setup family: what the configuration alone shows, before the first step."""
