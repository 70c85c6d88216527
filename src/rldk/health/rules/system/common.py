"""What rules of the system family share."""

import re

__all__ = ["MAX_NAMED", "SCORING_SECONDS", "STEP_TIME"]

STEP_TIME = "step_time|iteration_time|step_wall_time"
SCORING_SECONDS = re.compile(r"reward_functions/(.+)/seconds")
MAX_NAMED = 32
"""Most GPUs, or reward functions, that a rule follows one by one."""
