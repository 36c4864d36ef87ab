"""gunicorn's own lines in the form of all others. Its main process reads no settings, so that a reload sees
what changed in them."""

import os
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from gunicorn import glogging

from csf.logs.json_lines import JsonFormatter, is_json

ENV_FILE = Path(__file__).resolve().parents[2] / ".env"


class Logger(glogging.Logger):
    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        if is_json(dotenv_values(ENV_FILE) | os.environ):
            for handler in self.error_log.handlers:
                handler.setFormatter(JsonFormatter())
