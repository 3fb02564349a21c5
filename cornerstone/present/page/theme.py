"""Colours of the charts on light and on dark paper: the part of a Vega-Lite configuration that differs."""

from __future__ import annotations

from typing import Any

FONT = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"


def themes() -> dict[str, dict[str, Any]]:
    """`light` and `dark` -> a Vega-Lite configuration.

    The first colours and shapes of each are attention's and feed-forward's (Okabe and Ito's palette, which people who
    see few colours can tell apart). Styles that specifications name: `zero`, `note`, `dot`, `ring`, `reference`.
    """
    light = _theme(
        "#1b1f24", "#57606a", "#e6e9ec", ["#0072b2", "#c24e00", "#007a5a", "#9c4f86"], ["#b2560a", "#f4f4f4", "#2166ac"]
    )
    dark = _theme(
        "#e8ebee", "#a9b2bb", "#30363d", ["#56b4e9", "#f0a04b", "#3ecf9f", "#d99ac7"], ["#f0a04b", "#22272e", "#6cb6f0"]
    )
    return {"light": light, "dark": dark}


def _theme(ink: str, quiet: str, line: str, colours: list[str], diverging: list[str]) -> dict[str, Any]:
    low, middle, high = diverging
    return {
        "background": None,
        "font": FONT,
        "axis": {
            "domainColor": quiet,
            "gridColor": line,
            "labelColor": ink,
            "labelFontSize": 11,
            "tickColor": quiet,
            "titleColor": quiet,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
        },
        "legend": {"labelColor": ink, "labelFontSize": 12, "titleColor": quiet, "titleFontWeight": "normal"},
        "view": {"stroke": None},
        "range": {"category": colours, "diverging": [high, middle, low], "symbol": ["circle", "square", "diamond"]},
        "text": {"color": ink, "fontSize": 11},
        "rule": {"color": ink},
        "style": {
            "zero": {"color": ink, "strokeWidth": 0.8},
            "note": {"color": quiet, "fontSize": 11},
            "dot": {"color": ink, "fill": ink},
            "ring": {"color": ink, "fill": ink, "stroke": ink},
            "reference": {"color": quiet, "strokeDash": [4, 3]},
        },
    }
