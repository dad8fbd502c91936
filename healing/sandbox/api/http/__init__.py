"""HTTP in front of `healing.sandbox.api.cluster.ApiServer`."""
