"""Pages from templates: text escaped, data and scripts inside, nothing asked of the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cornerstone.present.page import vendor

FOLDER = Path(__file__).parent


def page(template: str, context: Mapping[str, Any], data: Mapping[str, Any] | None = None) -> str:
    """One page as HTML.

    Args:
        template: its file in `templates/`.
        context: what the template fills in.
        data: what the page's script reads; None: the page has no charts.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = {"libraries": _libraries(), "script": _text("app.js"), "data": inside(data)} if data is not None else None
    return environment.get_template(template).render(**context, style=_text("style.css"), drawn=drawn)


def inside(data: Mapping[str, Any]) -> str:
    """Data as JSON that can stand inside a script element: no text in it can end the element.

    >>> inside({"a": "</script>"})
    '{"a":"\\\\u003c/script>"}'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@lru_cache
def _libraries() -> tuple[str, ...]:
    return tuple(vendor.scripts())


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
