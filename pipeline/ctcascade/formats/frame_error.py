"""The one error of every reader: a frame that cannot be read or measured."""


class FrameError(Exception):
    """The frame cannot be read or measured; the message is the reason given to the user.

    ``shape`` is (rows, columns) where the file still tells its size; ``channels`` are the names of its channels, empty
    words where it has none, where the assay does not know them.
    """

    def __init__(self, reason: str, shape: tuple[int, int] | None = None, channels: tuple[str, ...] = ()):
        self.shape = shape
        self.channels = channels
        super().__init__(reason)
