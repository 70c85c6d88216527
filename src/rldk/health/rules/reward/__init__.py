"""The reward family: whether the reward teaches anything, and whether it is the right one."""
