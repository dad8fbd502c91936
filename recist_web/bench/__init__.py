"""`manage.py bench`: what ReCiSt costs and how fast it is, measured; one file a section.

**Adding a section**: one module in `recist_web/bench/sections/`; its name is the section's. It has

- ``TITLE``: one line for the table's heading;
- ``run(bench: Bench) -> Result``: measures, and says what it found (`recist_web.bench.section`).

Nothing else has to be touched: the command finds it, prints it, and writes it to the JSON and the Markdown. A section
takes its sizes from ``bench.pick(full=..., smoke=...)``: `make test` runs every section with the small ones, so the
small ones have to end within seconds. What must never happen (something lost, something done twice) goes to
``Result.failures`` and makes the command fail; a time that misses its target is only said.

A section that needs the whole product uses `recist_web.bench.product.running`. One that needs none of it imports what
it measures inside ``run``, so that listing sections stays cheap.
"""
