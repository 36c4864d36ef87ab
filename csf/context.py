from django.conf import settings
from django.http import HttpRequest


def school(request: HttpRequest) -> dict[str, str]:
    """What every page says about the school."""
    return {
        "school_name": settings.SCHOOL_NAME,
        "school_email": settings.SCHOOL_EMAIL,
        "school_phone": settings.SCHOOL_PHONE,
        "school_address": settings.SCHOOL_ADDRESS,
        "school_time_zone": settings.SCHOOL_TIME_ZONE,
    }
