"""Ending a job in good order: at Ctrl-C, and at the SIGTERM that a cluster sends some seconds before it kills.

The first such signal raises `Stop` wherever the job is, so that it can write what is finished. Those that follow are
passed over: a cluster may send the same one twice.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ASKED: list[str] = []


class Stop(KeyboardInterrupt):
    """Somebody, or the cluster, ends the job.

    Args:
        by: the name of the signal.
        kept: what is kept, for people.
    """

    def __init__(self, by: str, kept: str = "What is finished is kept.") -> None:
        self.by, self.kept = by, kept
        super().__init__(by, kept)

    @classmethod
    def of(cls, interrupt: KeyboardInterrupt, kept: str | None = None) -> Stop:
        """An interrupt as a stop, with another word on what is kept where one is given."""
        if isinstance(interrupt, Stop):
            return interrupt if kept is None else cls(interrupt.by, kept)
        return cls(signal.SIGINT.name, *([] if kept is None else [kept]))

    def __str__(self) -> str:
        return f"stopped by {self.by}. {self.kept} Run the same command again: it goes on with the rest."


@contextmanager
def stoppable() -> Iterator[None]:
    """Have `SIGNALS` raise `Stop` in this block, once. A signal that is ignored so far stays so.

    Python tells the main thread alone of signals: in any other this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if not _ASKED:
            _ASKED.append(signal.Signals(number).name)
            raise Stop(_ASKED[0])

    before = {each: signal.getsignal(each) for each in SIGNALS}
    ours = [each for each, usual in before.items() if usual not in (signal.SIG_IGN, None)]
    for each in ours:
        signal.signal(each, stop)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, before[each])
        _ASKED.clear()


def asked() -> str | None:
    """The name of the signal that has come, where one has."""
    return _ASKED[0] if _ASKED else None


def check() -> None:
    """Raise `Stop` if it was raised before and got lost: Python drops what is raised while an object is taken apart.

    Raises:
        Stop: a signal has come.
    """
    if _ASKED:
        raise Stop(_ASKED[0])
