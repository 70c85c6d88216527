"""Whether the doctor's first remedy cures: ill runs, their remedy applied by a machine, what became of it."""
