"""What keeps a file from being written, and what to do about it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

REMEDIES = {
    errno.ENOSPC: "Free some space on its disk, and run the same command again.",
    errno.EDQUOT: "Free some of your quota, and run the same command again.",
    errno.EFBIG: "Raise the limit of a file's size (`ulimit -f unlimited`), and run the same command again.",
    errno.EROFS: "Set `paths` in config.yaml to a disk that can be written to.",
    errno.EACCES: "Have the owner of its folder let you write there, or set `paths` in config.yaml.",
    errno.EISDIR: "A folder lies in its place: move that away, and run the same command again.",
    errno.ENOTDIR: "A file lies in the place of its folder: move that away, and run the same command again.",
}
"""What to do where a file can't be written, by the system's number of the error."""

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Those of them that are no defect, whoever meets them: the disk takes nothing more."""

_SAID = {os.strerror(number): number for number in OF_THE_DISK}
_NAMED = re.compile("(?:" + "|".join(map(re.escape, _SAID)) + r")(?: \(os error \d+\))?: '([^'\n]+)'")


def unwritable(path: object, number: int) -> str:
    """That a file can't be written, why, and what to do; `number` is one of `REMEDIES`."""
    return f"{path} can't be written: {os.strerror(number)}. {REMEDIES[number]}"


def problem(error: BaseException) -> str:
    """What an error of any library says of a disk that takes nothing more, and what to do; else empty."""
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in OF_THE_DISK:
            return unwritable(each.filename or "A file", each.errno)
        if found := problem_in(str(each)):
            return found
    return ""


def problem_in(text: str) -> str:
    """As `problem`, of what was printed of an error."""
    number = next((number for words, number in _SAID.items() if words in text), None)
    if number is None:
        return ""
    named = _NAMED.search(text)
    return unwritable(named[1] if named else "A file", number)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those from which it came."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
