"""Changes of policies: from the admin, the API and the cluster, with history, conflicts, preview and replay."""
