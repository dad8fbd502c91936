"""The sandbox's Kubernetes API server: objects, their rules, and HTTP."""
