"""How well it goes, in numbers: the Insight page and its API read the same `Numbers`."""
