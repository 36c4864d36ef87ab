from csf.models import Canary


def canary() -> None:
    Canary.sing()
