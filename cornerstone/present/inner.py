"""What the Snakemake inside a cluster job adds to the job's log, where the outer one finds it."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from cornerstone.log import VERBOSE, append_failure, failure_of
from cornerstone.present.failures import OF_A_SCRIPT, ended


class ToTheLog(logging.Filter):
    """Adds Snakemake's report to the log of a job whose script could not write why it failed.

    That is a script that was killed, or did not begin (the image could not be started, say). All records pass:
    they go to the cluster's own log of the job.
    """

    def __init__(self) -> None:
        super().__init__()
        self.report = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record pass, and keep what it says about the end of a script."""
        if getattr(record, "exception", None) in OF_A_SCRIPT:
            self.report = record.getMessage()
        elif str(getattr(record, "event", None)) == "job_error" and self.report:
            for log in getattr(record, "log", [])[:1]:
                if failure_of(Path(log)) is None:
                    append_failure(Path(log), ended(self.report), self.report)
        return True


def prepare(workflow: Any, logger: logging.Logger) -> None:
    """Set up what jobs say, in the process that reads the rules: the outer one, or the one inside a job.

    Scripts learn from an environment variable whether they may write on the screen. It is set wherever rules are
    read, as Snakemake hands --verbose, but not always the environment, on to its processes on other machines.
    """
    if workflow.output_settings.verbose:
        os.environ[VERBOSE] = "1"
    if workflow.remote_exec or workflow.subprocess_exec:
        logger.addFilter(ToTheLog())
