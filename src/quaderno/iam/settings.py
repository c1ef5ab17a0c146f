"""Django's settings, all derived from the configuration that QUADERNO_CONFIG names."""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quaderno.config import load_file
from quaderno.errors import ConfigError

if "QUADERNO_CONFIG" not in os.environ:
    raise ConfigError("QUADERNO_CONFIG is not set", "Set it to the path of the settings file")

QUADERNO = load_file(Path(os.environ["QUADERNO_CONFIG"]))
_url = urlsplit(QUADERNO.iam_url)
_https = _url.scheme == "https"

DEBUG = False
SECRET_KEY = QUADERNO.iam.secret_key.get_secret_value()
ROOT_URLCONF = "quaderno.iam.urls"
WSGI_APPLICATION = "quaderno.iam.wsgi.application"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

INSTALLED_APPS = [
    "quaderno.iam.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.idp.oidc",
    "quaderno.iam.apps.IamConfig",  # last: its administration replaces that of the others
]
MIDDLEWARE = [
    "quaderno.iam.middleware.public_address",
    "django.middleware.security.SecurityMiddleware",
    "quaderno.iam.middleware.content_security",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],  # before those of the applications
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "quaderno.iam.views.service",
            ]
        },
    }
]

# Transactions take SQLite's write lock when they begin, so that two of them can never read the
# same row and then both act on it. Connections stay open: closing the last one of a database
# with a write-ahead log means a checkpoint.
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": QUADERNO.dir / "iam" / "iam.sqlite3",
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 20,  # seconds to wait for another writer
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Rate limits and authorization codes live in the memory of the one worker process. The cache is
# large, so that nobody can push the record of their failed logins out of it.
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 200_000},
    }
}

# --- who may talk to it, and what browsers keep

# The loopback address is for components on this machine and for health checks.
_host = _url.hostname or ""
ALLOWED_HOSTS = [f"[{_host}]" if ":" in _host else _host, "127.0.0.1"]
ALLAUTH_TRUSTED_PROXY_COUNT = 1  # Traefik appends the client's address to X-Forwarded-For

# Cookies ignore ports. Where the hub shares this host name, the path keeps these cookies from
# people's servers, which live below other paths of the hub's port.
_own_host = _host != urlsplit(QUADERNO.public_url).hostname
_prefix = ("__Host-" if _own_host else "__Secure-") if _https else ""
SESSION_COOKIE_NAME = f"{_prefix}{QUADERNO.instance}-iam-session"
CSRF_COOKIE_NAME = f"{_prefix}{QUADERNO.instance}-iam-csrf"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = "/" if _prefix == "__Host-" else "/identity/"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
CSRF_FAILURE_VIEW = "quaderno.iam.views.csrf_failure"

X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _https else 0

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # straight from the packages: nothing to collect, nothing to write
WHITENOISE_ALLOW_ALL_ORIGINS = False

# --- accounts

AUTH_USER_MODEL = "iam.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "quaderno.iam.hashers.ClientSecretHasher",
]
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "account"
LOGOUT_REDIRECT_URL = "account_login"

ACCOUNT_ADAPTER = "quaderno.iam.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_USERNAME_VALIDATORS = "quaderno.iam.models.username_validators"
ACCOUNT_EMAIL_VERIFICATION = "mandatory"  # for those who register themselves: stages.AddressStage
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""  # mail.send has its own
ACCOUNT_CHANGE_EMAIL = True  # one address, replaced when the new one is confirmed
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # with the password, before the address changes
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_SESSION_REMEMBER = False  # a login ends with the browser, or after SESSION_COOKIE_AGE
ACCOUNT_FORMS = {
    "login": "quaderno.iam.forms.LoginForm",
    "signup": "quaderno.iam.forms.RegistrationForm",
    "reset_password": "quaderno.iam.forms.ResetPasswordForm",
    "reset_password_from_key": "quaderno.iam.forms.ResetPasswordKeyForm",
    "add_email": "quaderno.iam.forms.AddressForm",
    "change_password": "quaderno.iam.forms.ChangePasswordForm",
    "reauthenticate": "quaderno.iam.forms.ReauthenticateForm",
}
# Per address, room for a classroom behind one address; per account, five failures in five minutes.
# What sends a message to an address that somebody typed is rare.
ACCOUNT_RATE_LIMITS = {
    "login": "120/m/ip",
    "login_failed": "30/m/ip,5/300s/key",
    "signup": "60/h/ip",
    "reset_password": "20/h/ip,3/h/key",
}
PASSWORD_RESET_TIMEOUT = 3600  # seconds that a link to a new password is good for

# --- a second step at login

# Passkeys are bound to a host name (Web Authentication, section 5.1.2) and work where browsers
# trust the connection; of plain HTTP, only this machine's own.
_passkeys = _host == "localhost" or (_https and not re.fullmatch(r"[0-9.]+|.*:.*", _host))
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", *(["webauthn"] if _passkeys else [])]
MFA_FORMS = {
    "activate_totp": "quaderno.iam.forms.ActivateAppForm",
    "add_webauthn": "quaderno.iam.forms.PasskeyForm",
}
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not _https
MFA_TOTP_ISSUER = QUADERNO.name
MFA_TOTP_TOLERANCE = 1  # periods of 30 seconds that a clock may be wrong by
MFA_ALLOW_UNVERIFIED_EMAIL = True  # nobody logs in before their first address is confirmed

# --- messages

_email = QUADERNO.iam.email
EMAIL_BACKEND = {
    "file": "django.core.mail.backends.filebased.EmailBackend",
    "console": "django.core.mail.backends.console.EmailBackend",
    "smtp": "django.core.mail.backends.smtp.EmailBackend",
}[_email.backend]
EMAIL_FILE_PATH = QUADERNO.dir / "iam" / "mail"
DEFAULT_FROM_EMAIL = _email.sender or f"quaderno@{_host}"
EMAIL_HOST, EMAIL_PORT, EMAIL_TIMEOUT = _email.host, _email.port, 20
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _email.user, _email.password.get_secret_value()
EMAIL_USE_TLS, EMAIL_USE_SSL = _email.security == "starttls", _email.security == "tls"

# --- the OpenID Connect provider

IDP_OIDC_ADAPTER = "quaderno.iam.adapters.OidcAdapter"
# The library signs with the one that was issued last; and believes them all.
IDP_OIDC_PRIVATE_KEYS = [
    {"pem": key.get_secret_value(), "issued_at": f"{year}-01-01T00:00:00Z"}
    for key, year in ((QUADERNO.iam.signing_key, 2001), (QUADERNO.iam.published_key, 2000))
    if key.get_secret_value()
]
IDP_OIDC_INTROSPECTION_ENABLED = True
IDP_OIDC_ACCESS_TOKEN_FORMAT = "jwt"  # noqa: S105 - a format, not a secret
IDP_OIDC_ACCESS_TOKEN_EXPIRES_IN = 3600
IDP_OIDC_REFRESH_TOKEN_EXPIRES_IN = 30 * 24 * 3600
IDP_OIDC_ROTATE_REFRESH_TOKEN = True
IDP_OIDC_DEVICE_CODE_EXPIRES_IN = 600
# Codes that are typed (two looks for each login), and codes that programs get.
IDP_OIDC_RATE_LIMITS = {"device_user_code": "20/m/ip", "device_code": "20/m/ip"}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"django.request": {"level": "ERROR"}},  # not every address that scanners try
}
