from allauth.account.auth_backends import AuthenticationBackend

from enrollments.models import User


class FamilyBackend(AuthenticationBackend):  # type: ignore[misc] # allauth has no types
    """Reads the household with the user: nearly every page of a family asks for it."""

    def get_user(self, user_id: int) -> User | None:
        user = User.objects.select_related("household").filter(pk=user_id).first()
        return user if self.user_can_authenticate(user) else None
