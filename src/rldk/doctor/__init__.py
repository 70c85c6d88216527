"""A run, judged: its diagnosis, how it ended, samples that show a finding, the last good checkpoint."""
