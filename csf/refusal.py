class NotPossible(Exception):
    """Something cannot be done now; the message says why, for the person who asked."""

    @property
    def message(self) -> str:
        return str(self)
