"""The map: what runs where and calls whom, with what is wrong on top of it."""
