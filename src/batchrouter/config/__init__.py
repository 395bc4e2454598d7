"""The configuration: `batchrouter.yaml`, or nothing but the environment.

Every key is optional, unknown keys are errors that name the near one, and secrets may be written as `${NAME}`,
`os.environ/NAME` or `env.NAME`. Without a file the providers come from the environment variables that the vendors'
own tools read.

settings   every setting and its default
windows    lengths of time as people write them
reading    from a file or the environment to settings
storage    which database and which place for bytes, and what of them goes together
webhooks   who is told of events, and where that may be
checking   what can never work is refused, by file and key; bounds: of numbers
providers  what a provider's settings come to, together with the facts of its host
routes     the router that the settings ask for
"""

from batchrouter.config.checking import checked
from batchrouter.config.providers import flex_of, host_of, mode_of, native_of, pool_of
from batchrouter.config.reading import CONFIG_NAMES, load, parse
from batchrouter.config.routes import router_of
from batchrouter.config.settings import (
    DATA_FOLDER,
    LINE_ENDPOINTS,
    BatchesConfig,
    Config,
    KeyConfig,
    NativeConfig,
    PriceConfig,
    ProviderConfig,
    ServerConfig,
    StorageConfig,
    WebhookConfig,
    WebhooksConfig,
)
from batchrouter.config.storage import is_bucket, is_shared, require_shared, shown
from batchrouter.config.webhooks import url_rules
from batchrouter.config.windows import Seconds, window_seconds

__all__ = [
    "CONFIG_NAMES",
    "DATA_FOLDER",
    "LINE_ENDPOINTS",
    "BatchesConfig",
    "Config",
    "KeyConfig",
    "NativeConfig",
    "PriceConfig",
    "ProviderConfig",
    "Seconds",
    "ServerConfig",
    "StorageConfig",
    "WebhookConfig",
    "WebhooksConfig",
    "checked",
    "flex_of",
    "host_of",
    "is_bucket",
    "is_shared",
    "load",
    "mode_of",
    "native_of",
    "parse",
    "pool_of",
    "require_shared",
    "router_of",
    "shown",
    "url_rules",
    "window_seconds",
]
