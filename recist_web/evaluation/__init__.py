"""`manage.py evaluate`: scenarios through the whole product, and what is to be said of how it did.

- `selection`, `split`: which scenarios, and on which side of the split;
- `run` (the command's process) starts worlds and product, `conduct` (a process with the product's environment) leads
  each scenario through its life and writes down what happened;
- `scoring`, `measures`, `intervals`: what it comes to; pure, from the record alone;
- `report_*`: JSON, HTML, Markdown. docs/evaluation.md says how everything is counted.
"""
