"""Reports about a run: the doctor's page in its formats, and the files at the end of a run."""
