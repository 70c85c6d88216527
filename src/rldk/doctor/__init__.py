"""Judges a run: its diagnosis, the samples that show a finding, and the last good checkpoint."""
