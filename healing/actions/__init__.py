"""What can be done to a cluster: one file an action, one registry, one runner, one module of limits."""
