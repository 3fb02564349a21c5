"""The map as a Vega-Lite specification, and what all charts share.

Data sets are named; the page fills in what its switches choose.
"""

from __future__ import annotations

import json
from typing import Any

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""The name of the language; nothing reads the address."""
FILL = 900
"""Width until the page has set it to that of its column."""
LEFT = 104
"""Room for the labels of the vertical axis, the same for charts that stand above one another."""
QUANTITATIVE = "quantitative"
CLICK = {"cursor": "pointer"}
"""Of marks that open a layer's card."""

TIP: list[Spec] = [
    {"field": "player", "title": "layer"},
    {"field": "value", "format": ".3~g"},
    {"field": "low", "format": ".3~g"},
    {"field": "high", "format": ".3~g"},
    {"field": "ranks", "title": "true rank"},
    {"field": "pshown", "title": "p (above median, Holm)"},
]
"""What a mark of a layer says when it is pointed at."""


def chart(data: str, **rest: Any) -> Spec:
    """A specification that draws a named data set."""
    return {"$schema": SCHEMA, "data": {"name": data}, **rest}


def kinds(names: list[str], legend: bool = True) -> Spec:
    """Colour by kind of player: the same colour for a kind in every chart."""
    shown = {"title": None, "orient": "top"} if legend else None
    return {"field": "kind", "type": "nominal", "scale": {"domain": names, "range": "category"}, "legend": shown}


def shapes(names: list[str], legend: bool = True) -> Spec:
    """Shape of the mark by kind of player: beside its colour."""
    shown = {"title": None, "orient": "top"} if legend else None
    return {"field": "kind", "type": "nominal", "scale": {"domain": names, "range": "symbol"}, "legend": shown}


def depth_axis(axis: dict[str, Any], title: bool = True) -> Spec:
    """The axis over all players, labelled at some of them."""
    ticks = axis["ticks"]
    return {
        "title": axis["title"] if title else None,
        "values": [int(place) for place in ticks],
        "labelOverlap": True,
        "labelExpr": f"{json.dumps(ticks)}[format(datum.value, 'd')]",
        "grid": False,
    }


def atlas(
    unit: str, mixed: bool, names: list[str], axis: dict[str, Any], count: int, tasks: list[str], by_value: bool
) -> Spec:
    """The map: a mark and interval for each player, and below it, on the same axis, the heat map of all tasks.

    Data sets: `values` (of the chosen task), `heat` (of all tasks), both with `x`, the place on the axis.

    Args:
        unit: that of a task's values.
        mixed: whether the mean over tasks has another unit, so that rows of the heat map have colours of their own.
        names: kinds of players.
        axis: `values.axis`; by value, places are ranks.
        count: players.
        tasks: names, in order.
        by_value: whether players are in order of their value instead of depth.
    """
    places = {"title": "place by value", "grid": False, "tickMinStep": 1} if by_value else depth_axis(axis)
    scale = {"domain": [-0.75, count - 0.25], "nice": False, "zero": False}
    x: Spec = {"field": "x", "type": QUANTITATIVE, "scale": scale, "axis": places}
    y: Spec = {
        "field": "value",
        "type": QUANTITATIVE,
        "title": unit,
        "scale": {"padding": 18},  # pixels: room for the highest mark and its name
        "axis": {"minExtent": LEFT, "titleLimit": 240},
    }
    # A name stands beside its mark: left of it at the right end, higher where a neighbour has a name, too.
    label: Spec = {"type": "text", "aria": False, "dy": {"expr": "datum.raised ? -17 : -4"}}
    label |= {"align": {"expr": "datum.late ? 'right' : 'left'"}, "dx": {"expr": "datum.late ? -8 : 8"}}
    label |= {"angle": 310, "align": "left", "dx": 12} if by_value else {}
    zoom = {
        "name": "zoom",
        "select": {"type": "interval", "encodings": ["x"], "zoom": "wheel![event.shiftKey]"},
        "bind": "scales",
    }
    marks = {
        "width": FILL,
        "height": 260,
        "data": {"name": "values"},
        "layer": [
            {"mark": {"type": "rule", "style": "zero", "aria": False}, "encoding": {"y": {"datum": 0}}},
            {
                "mark": {"type": "rule", "strokeWidth": 1.6, "opacity": 0.6, "clip": True, "aria": False},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "stroke": kinds(names)},
            },
            {
                "params": [zoom],
                "mark": {
                    "type": "point",
                    "size": 64,
                    "filled": True,
                    "strokeWidth": 1.6,
                    "clip": True,
                    "cursor": "pointer",
                },
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": kinds(names, legend=False),
                    "shape": shapes(names),
                    "fillOpacity": {"condition": {"test": "datum.clear", "value": 1}, "value": 0},
                    "stroke": kinds(names),
                    "tooltip": TIP,
                    "description": {"field": "said"},
                },
            },
            {
                "transform": [{"filter": "datum.label != ''"}],
                "mark": label,
                "encoding": {"x": x, "y": y, "text": {"field": "label"}},
            },
        ],
    }
    flat = {**x, "axis": None}
    shades = [unit, "(colours end at the 97th percentile)"]
    if mixed:
        shades = ["share of the row's 97th percentile", f"(tasks: {unit}; mean: standard deviations)"]
    heat = {
        "width": FILL,
        "height": {"step": 20},
        "data": {"name": "heat"},
        "encoding": {
            "x": flat,
            "y": {
                "field": "task",
                "type": "nominal",
                "sort": tasks,
                "title": None,
                "axis": {"minExtent": LEFT, "domain": False, "ticks": False},
            },
        },
        "layer": [
            {
                "mark": {"type": "rect", "clip": True, **CLICK},
                "encoding": {
                    "x": {**flat, "field": "from"},
                    "x2": {"field": "to"},
                    "color": heat_colour("shade", *shades),
                    "tooltip": [{"field": "task"}, *TIP[:4]],
                    "description": {"field": "said"},
                },
            },
            {
                "transform": [{"filter": "datum.excludes"}],
                "mark": {"type": "point", "size": 8, "filled": True, "style": "dot", "clip": True, "aria": False},
                "encoding": {"x": flat},
            },
        ],
    }
    return {
        "$schema": SCHEMA,
        "vconcat": [marks, heat],
        "spacing": 14,
        "resolve": {"scale": {"x": "shared", "color": "independent"}, "legend": {"color": "independent"}},
    }


def heat_colour(field: str, *title: str) -> Spec:
    """Colours on both sides of 0 by a field; the page sets the ends of the scale. `title`: its lines."""
    return {
        "field": field,
        "type": QUANTITATIVE,
        "scale": {"domain": [-1, 1], "domainMid": 0, "range": "diverging", "interpolate": "rgb", "clamp": True},
        "legend": {
            "title": list(title),
            "orient": "bottom",
            "direction": "horizontal",
            "gradientLength": 240,
            "titleLimit": 500,
        },
    }
