"""What every deployment shares. Everything that differs is read from the environment.

| variable | meaning | default |
|---|---|---|
| WORKBENCH_ENV | `development` or `production` | development |
| WORKBENCH_VAR | folder of all state | `var/` beside manage.py |
| DATABASE_URL | PostgreSQL 15+ | the embedded server |
| DATABASE_POOL | connections that a web process keeps, at most; 0: a new one for each request | 8 for the web |
| BROKER_URL | Redis or RabbitMQ for Celery | the embedded Redis |
| REDIS_URL | Redis for the limits of model servers | BROKER_URL, where that is a Redis |
| SECRET_KEY | signing key | `var/secret-key` (development) |
| ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS | comma-separated | loopback |
| MEDIA_IMPORT_ROOTS | folders that `ingest --media reference` may point into, colon-separated | none |
| UPLOAD_MAX_BYTES | largest uploaded clip | 2 GiB |
| PRELABEL_BASE_URL, PRELABEL_MODEL, PRELABEL_API_KEY | multimodal OpenAI-compatible server | not configured |
| LLM_BASE_URL, LLM_MODEL, LLM_API_KEY | text OpenAI-compatible server | not configured |
| METRICS_TOKEN | lets a scraper read /metrics | an admin; with `make run` also this machine |
| PRELABEL_TRUST, LLM_TRUST | `inside` or `outside` | inside for loopback and private addresses, else outside |
| TRUSTED_PROXIES | proxies of ours before the web server; they append to X-Forwarded-For | 0 |
| LEASE_SECONDS | how long a claim is held without a sign of life | 1800 |
| PRELABEL_LEASE_SECONDS | how long a worker may stay silent before its pre-labelling job goes to another | 30 |
| TRAINING_LEASE_SECONDS | how long a trainer may stay silent before its run goes to another | 60 |
| TRAINING_LAUNCH | how the trainer starts `training`, like accelerate launch --num_processes 4 -m | this Python, -m |
| PRELABEL_THREADS | calls at a time of one worker process to a server that names no limit | 32 |
| PRELABEL_GIVE_UP_SECONDS | a run whose server has taken no call for so long is paused | 300 |
| STREAM_ORIGIN | where pages find /stream/, like https://streams.example.org | STREAM_PORT, or their own |
| STREAM_PORT, WEB_PORT | ports of the two processes on one host; `make run` sets them | 0: one origin |
| TZ | time zone of pages, like Asia/Shanghai | UTC |
| LOG_LEVEL | DEBUG, INFO, WARNING, ERROR or CRITICAL | INFO |
"""

import os
import shlex
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dj_database_url
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parents[2]
VAR = Path(os.environ.get("WORKBENCH_VAR") or BASE_DIR / "var").resolve()
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def env_list(name: str, default: str = "", separator: str = ",") -> list[str]:
    return [item.strip() for item in os.environ.get(name, default).split(separator) if item.strip()]


def env_int(name: str, default: int, least: int = 0) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal() or int(value) < least:
        raise ImproperlyConfigured(f"{name} must be a whole number{f' from {least}' if least else ''}, not “{value}”.")
    return int(value)


def env_seconds(name: str, default: float) -> float:
    value = os.environ.get(name) or str(default)
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise ImproperlyConfigured(f"{name} must be a number of seconds, not “{value}”.")
    return seconds


def env_words(name: str) -> list[str]:
    """Words as a shell reads them."""
    try:
        return shlex.split(os.environ.get(name, ""))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is not a command line: {error}.") from error


def env_time_zone() -> str:
    """TZ, which many systems set for themselves in forms that name no zone of the database (CST-8)."""
    value = os.environ.get("TZ") or "UTC"
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ImproperlyConfigured(f"TZ must name a time zone like Asia/Shanghai, not “{value}”.") from error


def env_log_level() -> str:
    value = (os.environ.get("LOG_LEVEL") or "INFO").upper()
    if value not in LOG_LEVELS:
        raise ImproperlyConfigured(f"LOG_LEVEL is one of {', '.join(LOG_LEVELS)}, not “{value}”.")
    return value


INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django_htmx",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "annotator.core",
    "annotator.accounts",
    "annotator.clips",
    "annotator.prelabels",
    "annotator.checking",
    "annotator.snapshots",
    "annotator.experiments",
]

MIDDLEWARE = [
    "annotator.core.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    # This far out, so that a refused Host or a broken session carries the policy, too.
    "annotator.core.middleware.PolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "annotator.core.middleware.Sessions",
    "annotator.core.middleware.Languages",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "annotator.core.middleware.SignedIn",
    "annotator.core.middleware.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "annotator.core.middleware.ErrorMiddleware",
]

ROOT_URLCONF = "annotator.urls"
WSGI_APPLICATION = "annotator.wsgi.application"
ASGI_APPLICATION = "annotator.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ],
        },
    },
]

# PostgreSQL only. manage.py and the supervisor set DATABASE_URL to the embedded server when nobody else did.
try:
    _database = dj_database_url.config(default="postgresql:///workbench", conn_max_age=0, conn_health_checks=True)
except ValueError as error:
    raise ImproperlyConfigured("DATABASE_URL is not an address like postgresql://user:password@host/name.") from error
DATABASES = {"default": _database}
if DATABASES["default"].get("ENGINE") != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database (postgresql://…); nothing else will do.")
DATABASES["default"]["ATOMIC_REQUESTS"] = False
# Web processes keep their connections (annotator/wsgi.py says how many at most): making one costs more than a request,
# and with it go the plans of the queue's functions. Each is asked whether it still stands before it is used.
if DATABASE_POOL := env_int("DATABASE_POOL", 0):
    from annotator.core.database import PooledConnection

    _pool = {"min_size": 1, "max_size": DATABASE_POOL, "timeout": 10, "connection_class": PooledConnection}
    DATABASES["default"]["OPTIONS"] = {**DATABASES["default"].get("OPTIONS", {}), "pool": _pool}
    DATABASES["default"]["CONN_MAX_AGE"] = 0
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "accounts:sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "accounts:sign-in"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env_time_zone()
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_ROOT = VAR / "media"
MEDIA_URL = "/media/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "annotator.core.static.ModuleStorage"},
}
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 2**20
DATA_UPLOAD_MAX_NUMBER_FILES = 2000

UPLOAD_MAX_BYTES = env_int("UPLOAD_MAX_BYTES", 2 * 2**30, least=1)
MEDIA_IMPORT_ROOTS = [Path(p).resolve() for p in env_list("MEDIA_IMPORT_ROOTS", separator=":")]
# Wrong passwords for one name from one address, and for all names from one address, until SIGN_IN_WINDOW is over.
SIGN_IN_ATTEMPTS, SIGN_IN_ATTEMPTS_OF_ADDRESS, SIGN_IN_WINDOW = 10, 100, timedelta(minutes=15)
# How many proxies of ours append to X-Forwarded-For; 0: the address is that of the connection.
TRUSTED_PROXIES = env_int("TRUSTED_PROXIES", 0)
LEASE_SECONDS = env_int("LEASE_SECONDS", 30 * 60, least=1)
# How long a worker may stay silent before its pre-labelling job goes to another; it says so thrice as often.
PRELABEL_LEASE_SECONDS = env_seconds("PRELABEL_LEASE_SECONDS", 30)
# How long a trainer may stay silent before its run is taken over; it says so every 2 s.
TRAINING_LEASE_SECONDS = env_seconds("TRAINING_LEASE_SECONDS", 60)
TRAINING_LAUNCH = env_words("TRAINING_LAUNCH")
# Calls at a time that one worker process has under way to a server that names no limit of its own.
PRELABEL_THREADS = env_int("PRELABEL_THREADS", 32, least=1)
# A run whose server has taken no call for so long is paused, with that reason.
PRELABEL_GIVE_UP_SECONDS = env_seconds("PRELABEL_GIVE_UP_SECONDS", 300)
# Streams come from a process of their own: at another port of the same host, or behind the same proxy.
STREAM_ORIGIN = os.environ.get("STREAM_ORIGIN", "").rstrip("/")
STREAM_PORT, WEB_PORT = env_int("STREAM_PORT", 0), env_int("WEB_PORT", 0)
SNAPSHOT_ROOT = VAR / "snapshots"
RUNS_ROOT = VAR / "runs"

CELERY_BROKER_URL = os.environ.get("BROKER_URL", "redis://")
# What all workers know of the models' servers: calls under way, rates, who is down. "": no Redis, no such limits.
_REDIS = CELERY_BROKER_URL if CELERY_BROKER_URL.startswith(("redis", "unix")) else ""
REDIS_URL = os.environ.get("REDIS_URL") or _REDIS.replace("redis+socket://", "unix://")
# Unacknowledged messages return after this long; it must exceed the longest task (see time limits).
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 900
CELERY_TASK_SOFT_TIME_LIMIT = 840
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {
    "sweep-jobs": {"task": "annotator.prelabels.tasks.sweep", "schedule": 3.0},
    "judge-clues": {"task": "annotator.prelabels.tasks.judge_clues", "schedule": 15.0},
    "sweep-uploads": {"task": "annotator.clips.tasks.sweep", "schedule": 15.0},
    "sweep-training": {"task": "annotator.experiments.tasks.sweep", "schedule": 15.0},
    "score-clips": {"task": "annotator.checking.tasks.score_after_runs", "schedule": 300.0},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "annotator.accounts.authentication.TokenAuthentication",
        "annotator.accounts.authentication.PageAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "annotator.core.parsers.BoundedJSONParser",
        "rest_framework.parsers.MultiPartParser",
        "rest_framework.parsers.FormParser",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "annotator.core.parsers.Negotiation",
    "DEFAULT_PAGINATION_CLASS": "annotator.core.paging.CursorPages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "annotator.core.errors.problem_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "EMER Workbench",
    "DESCRIPTION": "Clips, clues, claims, records, runs and snapshots.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "RunState": "annotator.prelabels.models.Run.STATES",
        "JobState": "annotator.prelabels.models.Job.STATES",
        "TrainingState": "annotator.experiments.models.TrainingRun.STATES",
        "ClaimState": "annotator.checking.models.Claim.STATES",
        "PersonRule": "annotator.clips.models.PERSON_RULES",
        "LanguageEnum": "annotator.clips.models.LANGUAGES",
        "ModalityEnum": "annotator.prelabels.models.MODALITIES",
        "ArmEnum": "annotator.checking.models.ARMS",
        "LanguageCode": ("zh", "en"),
        "ReviewDecision": ("accept", "return"),
        "StandingDecision": ("pass", "reset"),
    },
}

# No inline script or style anywhere; API docs, whose bundle needs inline style, relax it in their own view.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:", "blob:"],
        "media-src": [SELF, "blob:"],
        "connect-src": [SELF],
        "font-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"

# Counts only, no content; behind a proxy every visitor would seem to be on loopback, so production says no.
METRICS_ON_LOOPBACK = False

LOG_LEVEL = env_log_level()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structured": {"()": "annotator.core.logs.formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django.server": {"level": "WARNING"},
        "celery": {"level": LOG_LEVEL},
        "psycopg.pool": {"level": "WARNING"},  # three lines for every request
        "httpx2": {"level": "WARNING"},  # a line for every call of a model
    },
}
