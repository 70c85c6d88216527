"""The policy family: how far the policy moves, what it explores, and what must agree with it."""
