"""The HTTP client of the hub's libraries, made impatient: a hub that has fallen silent is given up within a minute.

huggingface_hub waits 60 seconds for some answers, without limit for others, and asks up to six times; datasets repeats
that. So a hub that falls silent in the middle would be noticed after many minutes. All of them use one client, which is
set here.
"""

from __future__ import annotations

import time
from typing import Any

from cornerstone.errors import AssetError

TIMEOUT = 10
"""Seconds that the hub may take to answer, or to send the next bytes."""
PATIENCE = 3
"""So many times TIMEOUT without any answer, and the hub is not asked again."""


class SilentError(AssetError):
    """The hub has not answered for so long that it is not asked again."""


def impatient() -> None:
    """Let all of this process's requests to the hub end: the client's own limits are 60 seconds, or none.

    The answers of one process are counted together, so that a request which fails beside others that are answered is
    repeated as the hub's libraries do.
    """
    from huggingface_hub import set_client_factory

    set_client_factory(_client)


def _client() -> Any:
    from huggingface_hub.utils._http import default_client_factory

    made: Any = default_client_factory()
    made.timeout = TIMEOUT
    send, since = made.send, [0.0]  # when the first request began that got no answer; 0: the last one got one

    def bounded(request: Any, **options: Any) -> Any:
        limits = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {
            key: min(limits.get(key) or TIMEOUT, TIMEOUT) for key in ("connect", "read", "write", "pool")
        }
        began = time.monotonic()
        try:
            answer = send(request, **options)
        except Exception as error:
            if not any(each.__name__ == "TimeoutException" for each in type(error).__mro__):
                raise
            since[0] = since[0] or began
            if time.monotonic() - since[0] >= PATIENCE * TIMEOUT:
                raise SilentError(str(error)) from error
            raise
        since[0] = 0.0
        return answer

    made.send = bounded
    return made
