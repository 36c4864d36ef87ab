from django.conf import settings
from django.http import HttpRequest


def school(request: HttpRequest) -> dict[str, str | int]:
    """What every page says about the school, and the figures of its refund rule (`_refund_rule.html`)."""
    return {
        "school_name": settings.SCHOOL_NAME,
        "school_email": settings.SCHOOL_EMAIL,
        "school_phone": settings.SCHOOL_PHONE,
        "school_address": settings.SCHOOL_ADDRESS,
        "site_url": settings.SITE_URL,
        "school_time_zone": settings.SCHOOL_TIME_ZONE,
        "refund_days": settings.REFUND_DAYS,
        "refund_less_sessions_held": settings.REFUND_LESS_SESSIONS_HELD,
        "credit_life_days": settings.CREDIT_LIFE_DAYS,
    }
