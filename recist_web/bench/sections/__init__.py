"""One module a section; `recist_web.bench` says how."""
