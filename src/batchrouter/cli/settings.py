"""The configuration that a command works with."""

from __future__ import annotations

import os
from pathlib import Path

from batchrouter import config as configuration
from batchrouter.cli.logs import use_configured
from batchrouter.config import DATA_FOLDER, Config, is_bucket
from batchrouter.errors import ConfigError

NO_PROVIDER = (
    "No provider is configured. Set OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY or another vendor's variable, or "
    "write a batchrouter.yaml:\n"
    "  providers:\n"
    '    local: {base_url: "http://localhost:8000/v1"}   # vLLM, Ollama, or any server that speaks OpenAI\'s API'
)


def load_config(path: Path | None) -> Config:
    """From `--config`, else from batchrouter.yaml in the working folder, else from the environment."""
    config = configuration.load(path, os.environ, folder=Path.cwd())
    use_configured(config.server.log_format)
    return config


def data_folder(given: Path | None, config: Config) -> Path:
    """Where one process keeps everything."""
    return given or Path(config.storage.blobs or DATA_FOLDER)


def given_folder(given: Path | None, config: Config) -> Path | None:
    """`--data` as it was given. Raises `ConfigError` where it would be left aside."""
    if given is not None and is_bucket(config.storage.blobs):
        raise ConfigError(f"--data names a folder, and storage.blobs is the bucket {config.storage.blobs}")
    return given
