"""Pages. Every one needs a signed-in person; only decisions write."""
