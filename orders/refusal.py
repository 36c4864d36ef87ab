class OrderRefused(Exception):
    """What a parent asked for cannot be, in words for the parent."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
