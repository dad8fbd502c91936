"""A language model's advice on a diagnosis: what it is shown, what of its answer is believed, what that changes.

The rules have answered before; the model can make them surer or less sure, and can name what they did not think of. It
never decides: what only the model says stays below what is done without a person.
"""
