"""What is said of a run: the final report and the files of its end."""
