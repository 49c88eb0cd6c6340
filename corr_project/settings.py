"""All settings of one installation, driven by ``CORR_*`` environment variables (see ``env.py``)."""

from __future__ import annotations

import datetime as dt

import environ

from corr_project import env
from corr_project.env import child_environment, read_environment

ENV = read_environment()
REPO_ROOT = env.REPO_ROOT

CORR_DATA_ROOT = ENV.data_root
CORR_BASE_URI = ENV.base_uri
CORR_LEASE_SECONDS = ENV.lease_seconds
CORR_REAPER_SECONDS = ENV.reaper_seconds
CORR_JOB_MEMORY_BYTES = ENV.job_memory_bytes
CORR_JOB_SECONDS = ENV.job_seconds
CORR_MAX_ATTEMPTS = 10
CORR_MAX_UPLOAD_BYTES = ENV.max_upload_bytes
CORR_SHARES = ENV.shares
CORR_WORKER_CONCURRENCY = ENV.worker_concurrency
CORR_EMBEDDED_BROKER = ENV.embedded_broker
CORR_BROKER_SOCKET = ENV.broker_socket
CORR_CHILD_ENVIRONMENT = child_environment()
CORR_LINEAGE_LIMIT = 10_000

SECRET_KEY = ENV.secret_key
DEBUG = ENV.debug
ALLOWED_HOSTS = list(ENV.allowed_hosts)

INSTALLED_APPS = [
    "unfold",  # before the admin, whose templates it replaces
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "guardian",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "axes",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "apps.core",
    "apps.provenance",
    "apps.projects",
    "apps.jobs",
    "apps.catalog",
    "apps.spatial",
    "apps.imaging",
    "apps.results",
    "apps.analysis",
    "apps.audit",
    "apps.web",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "apps.web.policy.PagePolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it answers in the place of what a locked door let through
]

ROOT_URLCONF = "corr_project.urls"
WSGI_APPLICATION = "corr_project.wsgi.application"
ASGI_APPLICATION = "corr_project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.web.frame.frame",
            ],
        },
    },
]

# The busy timeout stays below half a lease: a worker waiting for the write lock never outlives its lease unnoticed.
_BUSY_SECONDS = min(20.0, CORR_LEASE_SECONDS / 2)

if ENV.database_url:
    DATABASES = {"default": environ.Env.db_url_config(ENV.database_url)}
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": CORR_DATA_ROOT / "corrspace.sqlite3",
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": _BUSY_SECONDS,
                # recursive_triggers: without it INSERT OR REPLACE slips past the append-only triggers of the ledger
                "init_command": (
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA recursive_triggers=ON; "
                    "PRAGMA foreign_keys=ON;"
                ),
            },
            "TEST": {"NAME": CORR_DATA_ROOT / "test.sqlite3"},
        }
    }
DATABASES["default"]["ATOMIC_REQUESTS"] = False

AUTH_USER_MODEL = "projects.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: a locked name's password is not even looked at
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ANONYMOUS_USER_NAME = None  # guardian: no anonymous row; what is not logged in sees nothing
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

ACCOUNT_ADAPTER = "apps.web.doors.AccountDoor"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_PRESERVE_USERNAME_CASING = True
ACCOUNT_RATE_LIMITS = False  # axes counts, in the database; a second count in each process's memory would differ
SOCIALACCOUNT_ADAPTER = "apps.web.doors.ProviderDoor"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True  # an address that the provider has verified leads to its account
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_ONLY = False
CORR_OIDC = ENV.oidc
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "oidc",
                "name": ENV.oidc.name,
                "client_id": ENV.oidc.client_id,
                "secret": ENV.oidc.client_secret,
                "settings": {"server_url": ENV.oidc.issuer},
            }
        ]
        if ENV.oidc
        else [],
    }
}

CORR_PROXY_COUNT = ENV.proxy_count
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = dt.timedelta(minutes=30)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_CALLABLE = "apps.projects.lockout.refused"
AXES_CLIENT_IP_CALLABLE = "apps.projects.lockout.client_address"
AXES_HTTP_RESPONSE_CODE = 429
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True  # who logged in from where is not kept; failures are, until they are forgiven
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATIC_ROOT = CORR_DATA_ROOT / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
MEDIA_ROOT = CORR_DATA_ROOT / "media"
FILE_UPLOAD_HANDLERS = ["apps.core.uploads.RefuseFilesHandler"]  # source files have a view of their own
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 2**20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
if ENV.https:
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'", *([ENV.oidc.origin] if ENV.oidc else [])],
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.projects.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.core.api.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "apps.core.api.pagination.CursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["apps.core.api.filters.StrictFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "apps.core.api.schema.AutoSchema",
    "EXCEPTION_HANDLER": "apps.core.api.exceptions.problem_handler",
    "DEFAULT_VERSIONING_CLASS": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "PAGE_SIZE": 50,
    "URL_FORMAT_OVERRIDE": None,  # ?format= is a parameter of ours, not a renderer
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Corrspace",
    "DESCRIPTION": "Correlative multi-scale microscopy, and how every number came to be.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # closed groups with a filter; deep links would be links inside buttons
    "SWAGGER_UI_SETTINGS": {"deepLinking": False, "docExpansion": "none", "filter": True},
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "AcquisitionStatusEnum": "apps.imaging.selectors.STATUSES",
        "CalibrationStatusEnum": "apps.catalog.models.Calibration.Status",
        "MethodStatusEnum": "apps.analysis.models.MethodStatus.Status",
        "OutsideActivityStatusEnum": ["queued", "running", "ready", "failed"],
        "OutsideActivityKindEnum": "apps.imaging.models.OutsideActivity.Kind",
        "JobStatusEnum": "apps.jobs.models.Job.Status",
        "RoiStatusEnum": "apps.spatial.models.Roi.Status",
        "TransformStatusEnum": "apps.spatial.models.Transform.Status",
        "FrameKindEnum": "apps.spatial.models.Frame.Kind",
        "ImageKindEnum": "apps.imaging.models.Image.Kind",
        "SeriesKindEnum": "apps.imaging.models.Series.Kind",
        "SpecimenEventKindEnum": "apps.catalog.models.SpecimenEvent.Kind",
        "TransformKindEnum": "apps.spatial.models.Transform.Kind",
        "TransformMethodEnum": "apps.spatial.models.Transform.Method",
        "ModalityEnum": "apps.imaging.models.Modality",
        "RoleEnum": "apps.projects.models.Role",
        "TokenScopeEnum": "apps.projects.models.ApiToken.Scope",
        "LandmarkStateEnum": "apps.spatial.models.Landmark.State",
        "HandednessEnum": "apps.imaging.models.Image.Handedness",
    },
}

UNFOLD = {
    "SITE_TITLE": "Corrspace",
    "SITE_HEADER": "Corrspace",
    "SITE_SUBHEADER": "Administration",
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "apps.web.dashboard.favicon"}],
    "SITE_URL": "/",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "6px",
    "DASHBOARD_CALLBACK": "apps.web.dashboard.dashboard",
    "STYLES": ["apps.web.dashboard.styles"],
    "SIDEBAR": {"show_search": True, "show_all_applications": False, "navigation": "apps.web.dashboard.navigation"},
    "COLORS": {
        "primary": {
            "50": "239 248 252",
            "100": "214 237 246",
            "200": "175 220 237",
            "300": "124 196 224",
            "400": "72 160 194",
            "500": "24 120 158",
            "600": "11 92 125",
            "700": "8 72 98",
            "800": "7 63 86",
            "900": "10 50 68",
            "950": "6 31 43",
        }
    },
}

CELERY_BROKER_URL = ENV.broker_url or f"redis+socket://{ENV.broker_socket}"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False  # the row is the truth; a doorbell answered twice would only be a wasted claim
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # cancel is a flag in the row; nobody listens to mailboxes
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker as long as it takes
CELERY_BROKER_CONNECTION_TIMEOUT = 2.0
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False  # a job needs no broker while it runs
CELERY_TASK_PUBLISH_RETRY = False  # a broker that is down must not hold up a request; the reaper rings later
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "max_retries": 1,
    "interval_start": 0.0,
    "interval_step": 0.1,
    "interval_max": 0.1,
} | (
    {"socket_connect_timeout": 2.0, "socket_timeout": 5.0, "unacked_restore_throttle": 1}
    if CELERY_BROKER_URL.startswith(("redis", "sentinel"))
    else {}
)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "corrspace"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"django.request": {"level": "ERROR"}, "axes": {"level": "WARNING"}},
}
