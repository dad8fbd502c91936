"""People's decisions, enforced on the server."""
