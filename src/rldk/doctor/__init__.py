"""A run, judged: its diagnosis, samples that show a finding, the last good checkpoint."""
