"""The tasks of the wide set: what is asked, what is right, what is nearly right, by name."""

from tasks import letters, sums, tags, tools
from tasks.task import Task

__all__ = ["TASKS", "Task"]

TASKS: dict[str, Task] = {module.TASK.name: module.TASK for module in (sums, letters, tags, tools)}
