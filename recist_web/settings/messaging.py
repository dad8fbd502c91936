"""Valkey/Redis (REDIS_URL): Celery's broker, the channel layer of the WebSockets, the cache."""

from recist_web.settings.base import _ENV

REDIS_URL = _ENV.REDIS_URL.get_secret_value()

CHANNEL_LAYERS = {
    "default": {
        # Publish/subscribe: a message is a doorbell ("something is new"), so one that nobody hears may be lost.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "recist-channels"},
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "recist",
        "OPTIONS": {"socket_connect_timeout": 3, "socket_timeout": 3},
    }
}

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # A message whose worker died comes back after this long. It has to exceed the longest task (diagnosis, healing:
    # about 20 s and what a cut-off call takes); a duplicate is harmless, the engine claims each run once.
    "visibility_timeout": 120,
    # Lists beside each queue for what may wait (`healing.lifecycle.priority_of`).
    "priority_steps": [0, 3, 6],
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "global_keyprefix": "recist-celery:",
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
}
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_EVENT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
# The database row is the record of what a task did; nobody waits for a result.
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TIMEZONE = "UTC"
