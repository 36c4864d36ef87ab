class OrderRefused(Exception):
    """What a parent asked for is not possible; the message says why, for the parent."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
