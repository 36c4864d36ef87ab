from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """How sign-in differs from allauth's own: families are made by staff until they can sign up
    themselves."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False
