"""The generation family: whether completions end, differ, and come from the policy that is trained."""
