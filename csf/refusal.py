class NotPossible(Exception):
    """Something cannot be done now; why, in words for whoever asked."""

    @property
    def message(self) -> str:
        return str(self)
