"""Snakemake's logger plugin `cornerstone`: the screen of cornerstone.present.screen (both profiles switch it on)."""

from __future__ import annotations

import logging
import sys
import traceback
from logging import LogRecord

from snakemake_interface_logger_plugins.base import LogHandlerBase

from cornerstone.present.screen import Screen


class LogHandler(LogHandlerBase):
    """Hands Snakemake's records to the screen."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        stream = sys.stdout if self.common_settings.stdout else sys.stderr
        logging.raiseExceptions = False  # no traceback for a line that Snakemake's own log can't take
        self.screen = Screen(self.common_settings, stream)

    def emit(self, record: LogRecord) -> None:
        """Show a record, or keep it for the end."""
        try:
            self.screen.take(record)
        except Exception:
            traceback.print_exc()

    def close(self) -> None:
        """Show what belongs at the end: failures, and what to do about them."""
        self.screen.end()
        super().close()
