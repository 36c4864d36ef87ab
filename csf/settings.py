"""All settings, from the environment. `.env.example` lists every variable; the checks of each app refuse
unsafe mixes."""

import base64
import hashlib
import warnings
from pathlib import Path
from typing import Any

from django.templatetags.static import static

from csf.currencies import STRIPE_MINIMUM_CENTS
from csf.startup.environment import environment

BASE_DIR = Path(__file__).resolve().parent.parent

env = environment(BASE_DIR / ".env", required=("SECRET_KEY", "DATABASE_URL"))

# --- Mode ---------------------------------------------------------------------------------------------------

CSF_MODE: str = env.str("CSF_MODE", "production")  # production, demo or test
IS_PRODUCTION = CSF_MODE == "production"
# The name of this installation. A restored copy of its database acts on nothing under another name.
INSTANCE_ID: str = env.str("INSTANCE_ID", "") or ("" if IS_PRODUCTION else "local")
DEBUG = False
SECRET_KEY: str = env.str("SECRET_KEY")
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", [], subcast=str.strip)
# Keys of encrypted columns as id:base64 of 32 bytes, the one that writes first (csf/encryption.py).
FIELD_KEYS: list[str] = env.list("FIELD_KEYS", [], subcast=str.strip)
if not FIELD_KEYS and not IS_PRODUCTION:
    _derived = hashlib.sha256(f"field keys of {SECRET_KEY}".encode()).digest()
    FIELD_KEYS = ["local:" + base64.b64encode(_derived).decode()]
SITE_URL: str = env.str("SITE_URL", "http://127.0.0.1:8000").rstrip("/")
# The last is for the health check from inside the container.
ALLOWED_HOSTS: list[str] = [*env.list("ALLOWED_HOSTS", ["localhost"], subcast=str.strip), "127.0.0.1"]
CSRF_TRUSTED_ORIGINS: list[str] = [SITE_URL]

# --- The school ---------------------------------------------------------------------------------------------

# The demo's school, of which production shows parents nothing.
DEMO_SCHOOL = {
    "SCHOOL_NAME": "Bright Sparks Academy",
    "SCHOOL_EMAIL": "office@brightsparks.example",
    "SCHOOL_PHONE": "+1 555 0100",
    "SCHOOL_ADDRESS": "12 Harbour Street, Springfield",
}
_unset = dict.fromkeys(DEMO_SCHOOL, "") if IS_PRODUCTION else DEMO_SCHOOL
SCHOOL_NAME: str = env.str("SCHOOL_NAME", _unset["SCHOOL_NAME"])
SCHOOL_EMAIL: str = env.str("SCHOOL_EMAIL", _unset["SCHOOL_EMAIL"])
SCHOOL_PHONE: str = env.str("SCHOOL_PHONE", _unset["SCHOOL_PHONE"])
SCHOOL_ADDRESS: str = env.str("SCHOOL_ADDRESS", _unset["SCHOOL_ADDRESS"])
SCHOOL_TAX_NUMBER: str = env.str("SCHOOL_TAX_NUMBER", "")  # on receipts; families need it for their taxes
SCHOOL_TIME_ZONE: str = env.str("SCHOOL_TIME_ZONE", "UTC")
# What parents agree to: an address of the school's own page, or a text file that /terms/ and /privacy/ show.
TERMS: str = env.str("TERMS", "")
PRIVACY: str = env.str("PRIVACY", "")
CURRENCY: str = env.str("CURRENCY", "usd").lower()
# Basis points for the 1st, 2nd, 3rd and every later child of a household.
SIBLING_DISCOUNT_BPS: list[int] = env.list("SIBLING_DISCOUNT_BPS", [0, 2500, 3500, 4500], subcast=int)
# 0, for a currency whose minimum is not known, is refused at start.
MINIMUM_CHARGE_CENTS = int(env.str("MINIMUM_CHARGE_CENTS", "") or STRIPE_MINIMUM_CENTS.get(CURRENCY, 0))
MINIMUM_INSTALLMENT_CENTS: int = env.int("MINIMUM_INSTALLMENT_CENTS", max(1000, MINIMUM_CHARGE_CENTS))
# Days after the due date on which an installment is charged; later ones only after soft declines.
DUNNING_DAYS: list[int] = env.list("DUNNING_DAYS", [0, 3, 7, 14], subcast=int)
# Days before the due date; each reminder goes once, on any of the days from then until the day before.
REMINDER_DAYS: list[int] = env.list("REMINDER_DAYS", [3], subcast=int)
# Days before a child's first session, like REMINDER_DAYS.
CLASS_REMINDER_DAYS: int = env.int("CLASS_REMINDER_DAYS", 5)
SEAT_HOLD_MINUTES: int = env.int("SEAT_HOLD_MINUTES", 35)
# A place that is given up on any of these days after the order gets its full price back, later ones a credit.
REFUND_DAYS: int = env.int("REFUND_DAYS", 15)
# Whether the sessions that were held before the request are taken off that full price.
REFUND_LESS_SESSIONS_HELD: bool = env.bool("REFUND_LESS_SESSIONS_HELD", False)
# Refunds within the policy are approved by rule up to this sum of an order; 0: a person approves each.
REFUND_BY_RULE_CENTS: int = env.int("REFUND_BY_RULE_CENTS", 0)
REFUND_TWO_PERSON_CENTS: int = env.int("REFUND_TWO_PERSON_CENTS", 50_000)
CREDIT_LIFE_DAYS: int = env.int("CREDIT_LIFE_DAYS", 365)
OFFER_HOURS: int = env.int("OFFER_HOURS", 12)

# --- Django -------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "csf.apps.CsfConfig",
    "unfold.apps.BasicAppConfig",
    "csf.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "django_q",
    "djstripe",  # before billing, whose ready() registers receivers on dj-stripe's signals
    "anymail",
    "enrollments",
    "orders",
    "billing",
    "notifications",
    "office",
]

MIDDLEWARE = [
    "csf.web.request_ids.numbered",
    "django.middleware.security.SecurityMiddleware",
    "csf.web.busy.BusyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Behind WhiteNoise, which has its own. Each page masks its CSRF token differently, and Django adds a
    # random length, so the size of a page says nothing about what is in it (BREACH).
    "django.middleware.gzip.GZipMiddleware",
    "csf.web.site_files.permissions_policy",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "csf.web.private_pages.private_pages",
    "enrollments.families.signed_in.SignInRequired",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "enrollments.accounts.staff_sign_in.staff_sessions",
    "billing.stripe.middleware.page_patience",
]

ROOT_URLCONF = "csf.urls"
WSGI_APPLICATION = "csf.wsgi.application"
FORM_RENDERER = "csf.forms.rendering.Renderer"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csf.web.context.school",
                "orders.context.discounts",
                "billing.pages.context.family_orders",
                "notifications.preferences.banner.unreachable",
            ],
            "builtins": ["csf.templatetags.csf_format", "csf.templatetags.slots"],
        },
    }
]

DATABASES = {"default": env.dj_db_url("DATABASE_URL", conn_max_age=600)}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# DATABASE_URL leads to PgBouncer in transaction mode: no connection may keep anything between transactions.
PGBOUNCER: bool = env.bool("PGBOUNCER", False)
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = PGBOUNCER
# For web processes only, whose visitors wait; gunicorn's --env gives it to them (Dockerfile).
DB_LOCK_TIMEOUT_MS: int = env.int("DB_LOCK_TIMEOUT_MS", 0)
if DB_LOCK_TIMEOUT_MS and not PGBOUNCER:  # csf/database/lock_timeout.py does it there, which takes no options
    _options = DATABASES["default"].setdefault("OPTIONS", {})
    _options["options"] = f"{_options.get('options', '')} -c lock_timeout={DB_LOCK_TIMEOUT_MS}".strip()
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The counters of the sign-in limits live here: the default of 300 entries would throw counters away under
# load.
CACHE_SIZE = {"MAX_ENTRIES": 20_000}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
        "OPTIONS": CACHE_SIZE,
    },
    # django-q2 reports its clusters here; a cache in memory would hide them from every other process.
    "q": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "q_cache",
        "OPTIONS": CACHE_SIZE,
    },
}

LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = ["csf.formats"]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = SCHOOL_TIME_ZONE
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# --- People and sign-in -------------------------------------------------------------------------------------

AUTH_USER_MODEL = "enrollments.User"
AUTHENTICATION_BACKENDS = ["enrollments.accounts.backend.FamilyBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "catalog"
LOGOUT_REDIRECT_URL = "catalog"
STAFF_IDLE_S: int = env.int("STAFF_IDLE_MINUTES", 30) * 60
STAFF_SESSION_S: int = env.int("STAFF_SESSION_HOURS", 12) * 3600
STAFF_MFA_REQUIRED = IS_PRODUCTION
ACCOUNT_ADAPTER = "notifications.accounts.AccountAdapter"
ACCOUNT_FORMS = {
    "signup": "enrollments.accounts.sign_up.SignupForm",
    "login": "enrollments.accounts.sign_up.LoginForm",
    "request_login_code": "enrollments.accounts.sign_up.RequestLoginCodeForm",
    "reset_password": "enrollments.accounts.sign_up.ResetPasswordForm",
    "add_email": "enrollments.accounts.sign_up.AddEmailForm",
}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_TIMEOUT = 15 * 60
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_CHANGE_EMAIL = True  # one address, replaced only when the new one is confirmed
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_BY_CODE_TIMEOUT = 10 * 60
ACCOUNT_LOGIN_BY_CODE_SUPPORTS_RESEND = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_SESSION_REMEMBER = True
# From one visitor's address. On a registration evening a whole school shares its Wi-Fi's.
SIGN_INS_PER_MINUTE: int = env.int("SIGN_INS_PER_MINUTE", 60)
ACCOUNT_RATE_LIMITS = {
    "signup": f"{SIGN_INS_PER_MINUTE}/m/ip",
    "login": f"{SIGN_INS_PER_MINUTE}/m/ip",
    # A six-digit code takes three tries. Ten codes an hour leave a guesser 1 chance in 1,400 a day.
    "request_login_code": f"{SIGN_INS_PER_MINUTE}/m/ip,3/m/key,10/h/key",
    "reset_password": "20/m/ip,3/m/key,10/h/key",
    # Emails that anyone can have sent to an address (notifications/accounts.py): codes and links, notices.
    "code_to_address": "3/m/key,10/h/key,30/d/key",
    "notice_to_address": "2/h/key,4/d/key",
    "promo_code": "10/m/user,40/h/user",
}
ALLAUTH_USER_CODE_FORMAT = {"numeric": True, "dashed": False, "length": 6}
# Behind a proxy the limits must count the visitor, not the proxy.
ALLAUTH_TRUSTED_PROXY_COUNT: int = env.int("TRUSTED_PROXY_COUNT", 1 if IS_PRODUCTION else 0)
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_ADAPTER = "enrollments.accounts.staff_sign_in.SecondFactorAdapter"
MFA_TOTP_ISSUER = SCHOOL_NAME
MFA_TOTP_TOLERANCE = 1  # clocks of phones are a little off
PASSWORD_RESET_TIMEOUT = 3600
SESSION_COOKIE_AGE = 30 * 24 * 3600

# --- Security -----------------------------------------------------------------------------------------------

SECURE_SSL_REDIRECT = IS_PRODUCTION
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_PRODUCTION else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if IS_PRODUCTION else 0
# Only if every name below the domain speaks https; browsers keep a preloaded domain for years.
SECURE_HSTS_INCLUDE_SUBDOMAINS: bool = env.bool("HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD: bool = env.bool("HSTS_PRELOAD", False)
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_PRODUCTION
SESSION_COOKIE_NAME = "__Host-session" if IS_PRODUCTION else "session"
CSRF_COOKIE_NAME = "__Host-csrftoken" if IS_PRODUCTION else "csrftoken"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "enrollments.families.signed_in.csrf_failure"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        # Forms are answered with a redirect to Stripe's pages; browsers apply form-action to it.
        "form-action": ["'self'", "https://checkout.stripe.com", "https://invoice.stripe.com"],
    }
}

# --- Stripe -------------------------------------------------------------------------------------------------

STRIPE_LIVE_MODE: bool = env.bool("STRIPE_LIVE_MODE", False)
STRIPE_TEST_SECRET_KEY: str = env.str("STRIPE_TEST_SECRET_KEY", "")
STRIPE_LIVE_SECRET_KEY: str = env.str("STRIPE_LIVE_SECRET_KEY", "")
STRIPE_SECRET_KEY = STRIPE_LIVE_SECRET_KEY if STRIPE_LIVE_MODE else STRIPE_TEST_SECRET_KEY
STRIPE_API_VERSION = "2026-08-26.dahlia"  # without it dj-stripe follows whatever the installed SDK prefers
STRIPE_TIMEOUT_S: float = env.float("STRIPE_TIMEOUT_S", 10.0)
# Where Stripe shows its pages on a domain of the school's own.
STRIPE_PAGES_DOMAIN: str = env.str("STRIPE_PAGES_DOMAIN", "")
if STRIPE_PAGES_DOMAIN:
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["form-action"].append(f"https://{STRIPE_PAGES_DOMAIN}")
# Only for the stand-in. dj-stripe reads a missing attribute as "the real Stripe", so it exists only when
# given.
if _stripe_api_host := env.str("STRIPE_API_HOST", ""):
    STRIPE_API_HOST: str = _stripe_api_host
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["form-action"].append(_stripe_api_host)
# Four calls a charge, and Stripe allows 25 a second for one endpoint: 20 charges a second stay below it.
STRIPE_CHARGES_PER_S: float = env.float("STRIPE_CHARGES_PER_S", 20.0)
STRIPE_CHARGE_THREADS: int = env.int("STRIPE_CHARGE_THREADS", 16)
STRIPE_CHARGE_WORKERS: int = env.int("STRIPE_CHARGE_WORKERS", 2)
STRIPE_WEBHOOK_SECRET: str = env.str("STRIPE_WEBHOOK_SECRET", "")
STRIPE_WEBHOOK_UUID: str = env.str("STRIPE_WEBHOOK_UUID", "")
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
if not IS_PRODUCTION:
    # dj-stripe's own migrations take a minute; these give the same tables in seconds (CI compares the two).
    MIGRATION_MODULES = {"djstripe": "billing.djstripe_migrations"}

# --- Email --------------------------------------------------------------------------------------------------

EMAIL_BACKEND = "notifications.sending.transport.SendGridBackend"
_quoted_name = SCHOOL_NAME.replace("\\", "\\\\").replace('"', '\\"')  # it may have a comma, quote or bracket
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", "") or f'"{_quoted_name}" <{SCHOOL_EMAIL}>'
SERVER_EMAIL = DEFAULT_FROM_EMAIL
# One "You're in" for an order that is paid, in place of its receipt and a confirmation for each class.
EMAIL_BUNDLE_ORDERS: bool = env.bool("EMAIL_BUNDLE_ORDERS", False)
SENDGRID_API_KEY: str = env.str("SENDGRID_API_KEY", "")
SENDGRID_API_URL: str = env.str("SENDGRID_API_URL", "https://api.sendgrid.com/v3/")
ANYMAIL = {
    "SENDGRID_API_KEY": SENDGRID_API_KEY,
    "SENDGRID_API_URL": SENDGRID_API_URL,
    "REQUESTS_TIMEOUT": (3.05, 10),
    "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": env.str("SENDGRID_WEBHOOK_PUBLIC_KEY", None),
    "SEND_DEFAULTS": {"track_opens": False, "track_clicks": False},
    # Else a switch in the SendGrid account may add an unsubscribe footer to receipts.
    "SENDGRID_SEND_DEFAULTS": {
        "esp_extra": {"tracking_settings": {"subscription_tracking": {"enable": False}}}
    },
}
EMAIL_THREADS: int = env.int("EMAIL_THREADS", 48)
EMAIL_DRAINS: int = env.int("EMAIL_DRAINS", 2)
# A declined parent usually pays with another card at once; only then is it worth an email.
CHECKOUT_DECLINE_MAIL_DELAY_S: int = env.int("CHECKOUT_DECLINE_MAIL_DELAY_S", 600)
# A second route for essential emails while SendGrid takes none (notifications/sending/failover.py), if any.
EMAIL_FAILOVER: str = env.str("EMAIL_FAILOVER", "")
# Set in a copy of production that is there to try things out: every email goes to this address, and what
# belongs to Stripe's live mode is left alone.
STAGING_EMAILS_TO: str = env.str("STAGING_EMAILS_TO", "")
EMAIL_UNKNOWN_WAIT_S: int = env.int("EMAIL_UNKNOWN_WAIT_S", 15 * 60)
# Of the sender's domain, as SendGrid's sender authentication shows them: for check_deliverability.
DKIM_SELECTORS: list[str] = env.list("DKIM_SELECTORS", ["s1", "s2"], subcast=str.strip)
RETURN_PATH_DOMAIN: str = env.str("RETURN_PATH_DOMAIN", "")
LINK_DOMAIN: str = env.str("LINK_DOMAIN", "")
# Where alerts are posted to, as JSON. By email too, but not only: email may be what is broken.
ALERT_WEBHOOK_URL: str = env.str("ALERT_WEBHOOK_URL", "")
STAFF_ALERT_EMAILS: list[str] = env.list("STAFF_ALERT_EMAILS", [], subcast=str.strip)
warnings.filterwarnings("ignore", message="django-anymail has dropped official support for SendGrid")

# --- Queue --------------------------------------------------------------------------------------------------

Q_WORKERS: int = env.int("Q_WORKERS", 4)
Q_CLUSTER: dict[str, Any] = {
    "name": "csf",
    "orm": "default",
    "broker_class": "csf.jobs.broker.Queue",
    "scheduler": False,  # csf/jobs/cluster.py queues the jobs
    "cache": "q",
    "workers": Q_WORKERS,
    "queue_limit": Q_WORKERS,
    "bulk": 1,
    "poll": 0.2,
    # retry must outlast waiting and running: 3 + timeout * (1 + ceil((queue_limit + bulk) / workers)) = 183.
    "timeout": 60,
    "retry": 200,
    "guard_cycle": 1,
    "max_attempts": 1,  # our rows decide about retries, not the broker
    "ack_failures": True,
    "save_limit": -1,
    "recycle": 500,
    "max_rss": 300_000,
    "log_level": "WARNING",
    # Emails that someone waits for have a worker that nothing else keeps busy:
    # Q_CLUSTER_NAME=urgent manage.py qcluster.
    "ALT_CLUSTERS": {"urgent": {"workers": 1, "queue_limit": 1}},
}

# --- Staff pages --------------------------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": f"{SCHOOL_NAME} office",
    "SITE_HEADER": SCHOOL_NAME,
    "SITE_SUBHEADER": "Office",
    "SITE_SYMBOL": "school",
    "SITE_FAVICONS": [{"rel": "icon", "href": lambda request: static("favicon.svg")}],
    "COLORS": {
        "primary": {
            "50": "#f0fafa",
            "100": "#d6f0ef",
            "200": "#aee0de",
            "300": "#7bc9c7",
            "400": "#45a9a8",
            "500": "#2b9c9b",  # links in the dark: 4.5:1
            "600": "#0b6464",  # of the site
            "700": "#095454",
            "800": "#084545",
            "900": "#073838",
            "950": "#042222",
        }
    },
    "SITE_URL": "/",
    "STYLES": [lambda request: static("staff.css")],
    "DASHBOARD_CALLBACK": "office.dashboard.start_page",
    "COMMAND": {"search_callback": "office.menu.find"},
    "SIDEBAR": {"show_search": True, "command_search": True, "navigation": "office.menu.menu"},
}

# --- Logs ---------------------------------------------------------------------------------------------------

# Prometheus asks /metrics with it; empty: there is no such page.
METRICS_TOKEN: str = env.str("METRICS_TOKEN", "")
SENTRY_DSN: str = env.str("SENTRY_DSN", "")  # empty is off
LOG_FORMAT: str = env.str("LOG_FORMAT", "") or ("json" if IS_PRODUCTION else "plain")
LOGGING_CONFIG = "csf.logs.json_lines.configure"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "json": {"()": "csf.logs.json_lines.JsonFormatter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        name: {"level": env.str("LOG_LEVEL", "INFO")}
        for name in ("csf", "enrollments", "orders", "billing", "notifications", "office")
    }
    | {"django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False}},
}

# anymail.W003 and the import-time warning say that SendGrid lost upstream support: docs/decisions/0006.
# auth.W004: the email is unique without regard to case, by a constraint on Lower("email").
# security.W005, security.W021: HSTS for subdomains and its preload list are the owner's choice, by setting.
SILENCED_SYSTEM_CHECKS = ["anymail.W003", "auth.W004", "security.W005", "security.W021"]
if not IS_PRODUCTION:
    SILENCED_SYSTEM_CHECKS += ["djstripe.W002"]  # "STRIPE_API_HOST with DEBUG off": wanted for the stand-in
