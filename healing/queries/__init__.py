"""All that the product asks Prometheus and Loki: one catalogue, from which docs/queries.md is written.

`catalogue` holds the texts, `http` the metrics that count HTTP requests under their many names, `load` what is made of
their answers, `requests` asks for them.
"""
