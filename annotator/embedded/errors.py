"""The one error of this package."""


class EmbeddedError(RuntimeError):
    """The embedded servers cannot be had. The message is one line for the person at the terminal."""
