"""What keeps the tree from starting."""


class CannotStartError(Exception):
    """The message is for the person at the terminal: what is wrong and what to do."""


class StoppedError(Exception):
    """Somebody asked the tree to stop while it was still starting."""
