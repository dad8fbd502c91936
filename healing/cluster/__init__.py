"""Adapters behind `healing.ports`: the Kubernetes API, Prometheus, Loki. They know ports and nothing else of ours."""
