"""The smaller charts of a model: rows with intervals, deletion curves, pairs. Data sets are named, as in `specs`."""

from __future__ import annotations

from typing import Any

from cornerstone.present.page.specs import (
    CLICK,
    FILL,
    LEFT,
    QUANTITATIVE,
    SCHEMA,
    TIP,
    Spec,
    chart,
    depth_axis,
    heat_colour,
    kinds,
    shapes,
)


def forest(unit: list[str], names: list[str], rows: str, step: int = 18) -> Spec:
    """A row for each entry of the data set: mark, interval, and what is said at its right edge.

    Args:
        unit: lines that say the unit of the values.
        names: kinds of players.
        rows: field that names a row; rows stand in the order of the data.
        step: height of a row in pixels.
    """
    x: Spec = {"field": "value", "type": QUANTITATIVE, "title": unit, "axis": {"titleLimit": 240}}
    bare = kinds(names, legend=False)
    return chart(
        "rows",
        width=FILL,
        height={"step": step},
        encoding={"y": {"field": rows, "type": "nominal", "sort": None, "title": None, "axis": {"minExtent": LEFT}}},
        layer=[
            {"mark": {"type": "rule", "style": "zero", "aria": False}, "encoding": {"x": {"datum": 0}, "y": None}},
            {
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6, "aria": False},
                "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": bare},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, **CLICK},
                "encoding": {
                    "x": x,
                    "color": bare,
                    "shape": shapes(names, legend=False),
                    "fillOpacity": {"condition": {"test": "datum.clear", "value": 1}, "value": 0},
                    "stroke": bare,
                    "tooltip": TIP,
                    "description": {"field": "said"},
                },
            },
            {
                "mark": {"type": "text", "align": "left", "style": "note", "aria": False},
                "encoding": {"x": {"value": {"expr": "width + 6"}}, "text": {"field": "note"}},
            },
        ],
    )


def curves(metric: str, names: list[str]) -> Spec:
    """Deletion curves. Data sets: `rows` (a point each), `lines` (chance and the whole model, as levels).

    Args:
        metric: title of the vertical axis.
        names: orders of removal for readers.
    """
    x: Spec = {
        "field": "removed",
        "type": QUANTITATIVE,
        "title": "removed",
        "axis": {"tickMinStep": 1, "grid": False},
        "scale": {"nice": False, "padding": 12},
    }
    y: Spec = {"field": "accuracy", "type": QUANTITATIVE, "title": metric, "scale": {"zero": False}}
    colour: Spec = {
        "field": "order",
        "type": "nominal",
        "scale": {"domain": names, "range": "category"},
        "legend": {"title": None, "orient": "top"},
    }
    return {
        "$schema": SCHEMA,
        "width": FILL,
        "height": 260,
        "layer": [
            {
                "data": {"name": "lines"},
                "mark": {"type": "rule", "style": "reference", "aria": False},
                "encoding": {"y": {"field": "level", "type": QUANTITATIVE}},
            },
            *(
                {
                    "data": {"name": "lines"},
                    "transform": [{"filter": f"datum.side == '{side}'"}],
                    "mark": {"type": "text", "style": "note", "align": side, "dy": -7, "aria": False},
                    "encoding": {
                        "x": {"value": {"expr": end}},
                        "y": {"field": "level", "type": QUANTITATIVE},
                        "text": {"field": "name"},
                    },
                }
                for side, end in (("left", "4"), ("right", "width"))
            ),
            {
                "data": {"name": "here"},
                "mark": {"type": "rule", "style": "zero", "aria": False},
                "encoding": {"x": x},
            },
            {
                "data": {"name": "rows"},
                "mark": {"type": "rule", "strokeWidth": 1.4, "opacity": 0.6, "aria": False},
                "encoding": {
                    "x": {**x, "field": "shifted"},
                    "y": {**y, "field": "low"},
                    "y2": {"field": "high"},
                    "color": colour,
                },
            },
            {
                "data": {"name": "rows"},
                "mark": {"type": "line", "strokeWidth": 1.6, "aria": False},
                "encoding": {"x": {**x, "field": "shifted"}, "y": y, "color": colour},
            },
            {
                "data": {"name": "rows"},
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {
                    "x": {**x, "field": "shifted"},
                    "y": y,
                    "color": colour,
                    "shape": {**colour, "scale": {"domain": names, "range": "symbol"}},
                    "tooltip": [
                        {"field": "order"},
                        {"field": "removed"},
                        *({"field": field, "format": ".1f"} for field in ("accuracy", "low", "high")),
                    ],
                    "description": {"field": "said"},
                },
            },
        ],
    }


def strip(unit: str, axis: dict[str, Any], count: int, rows: int) -> Spec:
    """Pairs of players as a strip: the earlier one's place against the distance of the two. Data set: `rows`."""
    scale = {"domain": [-0.75, count - 0.25], "nice": False, "zero": False}
    x: Spec = {
        "type": QUANTITATIVE,
        "scale": scale,
        "axis": {**depth_axis(axis), "title": f"earlier one, {axis['title']}"},
    }
    step = 22 if rows <= 12 else max(3, 260 // rows)
    y: Spec = {
        "field": "distance",
        "type": "ordinal",
        "title": "distance",
        "axis": {"minExtent": LEFT, "domain": False, "ticks": False, "labelOverlap": True},
    }
    return chart(
        "rows",
        width=FILL,
        height={"step": step},
        encoding={"y": y},
        layer=[
            {
                "mark": {"type": "rect", **CLICK},
                "encoding": {
                    "x": {**x, "field": "from"},
                    "x2": {"field": "to"},
                    "color": heat_colour(
                        "value", unit, "below 0: they stand in for one another", "above 0: they need each other"
                    ),
                    "tooltip": [
                        {"field": "first"},
                        {"field": "second"},
                        *({"field": field, "format": ".3~g"} for field in ("value", "low", "high", "q")),
                    ],
                    "description": {"field": "said"},
                },
            },
            {
                "transform": [{"filter": "datum.found"}],
                "mark": {"type": "point", "size": 12, "filled": True, "style": "dot", "aria": False},
                "encoding": {"x": {**x, "field": "x"}},
            },
        ],
    )
