"""Keeping passwords and tokens of the environment out of what is written: logs, messages, pages."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from urllib.parse import unquote

HIDDEN = "***"
SHORTEST = 8
"""Characters of a token: shorter values of such variables are words, such as `true`."""
_NAMED = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|CREDENTIAL", re.IGNORECASE)
_IN_A_URL = re.compile(r"\b([a-z][a-z0-9+.-]*://)([^\s/?#'\"<>]+)@", re.IGNORECASE)
"""What stands before the host of an address: user and password, or a token."""


def masked(text: str, known: Sequence[str] | None = None) -> str:
    """A text without the secrets of the environment, and without what stands before the host of an address.

    Args:
        text: any.
        known: the secrets, where they were looked up before.

    >>> masked("no answer from https://me:pass@mirror.example/simple")
    'no answer from https://***@mirror.example/simple'
    """
    text = _IN_A_URL.sub(rf"\1{HIDDEN}@", text) if "@" in text else text
    for secret in secrets() if known is None else known:
        text = text.replace(secret, HIDDEN)
    return text


def secrets() -> list[str]:
    """The tokens and passwords that stand in environment variables, the longest first.

    These are the values of variables that are named so, and what stands before the host in addresses (of a mirror of
    the hub, a package index, a proxy), as it is and decoded.
    """
    found: set[str] = set()
    for name, value in os.environ.items():
        if _NAMED.search(name) and len(value) >= SHORTEST and not os.path.exists(value):
            found.add(value)
        for _, user in _IN_A_URL.findall(value):
            password = user.partition(":")[2] or user
            found |= {each for each in (password, unquote(password)) if len(each) >= SHORTEST}
    return sorted(found, key=len, reverse=True)
