"""The one error of every reader: a frame that cannot be read or measured."""


class FrameError(Exception):
    """The frame cannot be read or measured; the message is the reason given to the user.

    ``shape`` is (rows, columns) where the file still tells its size.
    """

    def __init__(self, reason: str, shape: tuple[int, int] | None = None):
        self.shape = shape
        super().__init__(reason)
