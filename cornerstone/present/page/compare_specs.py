"""The charts of two models side by side as Vega-Lite specifications; the data set of each is called `rows`."""

from __future__ import annotations

from cornerstone.present.page.specs import FILL, QUANTITATIVE, Spec, chart

LAYER: Spec = {"field": "player", "title": "layer"}


def depth(models: list[str], unit: str) -> Spec:
    """Values of both models over relative depth, from 0 (first) to 1 (last)."""
    colour = {"field": "model", "type": "nominal", "scale": {"domain": models, "range": "category"}}
    legend = {"legend": {"title": None, "orient": "top"}}
    x: Spec = {"field": "depth", "type": QUANTITATIVE, "title": "relative depth", "axis": {"grid": False}}
    x["scale"] = {"domain": [-0.02, 1.02], "nice": False}
    y: Spec = {"field": "value", "type": QUANTITATIVE, "title": unit}
    line = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": {**colour, **legend}}
    return chart(
        "rows",
        width=FILL,
        height=260,
        layer=[
            {"mark": {"type": "rule", "style": "zero", "aria": False}, "encoding": {"y": {"datum": 0}}},
            {
                "mark": {"type": "rule", "strokeWidth": 1.4, "opacity": 0.5, "aria": False},
                "encoding": line,
            },
            {
                "mark": {"type": "point", "filled": True, "size": 50, "opacity": 1},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": {**colour, **legend},
                    "shape": {**colour, "scale": {"domain": models, "range": "symbol"}, **legend},
                    "tooltip": [
                        {"field": "model"},
                        LAYER,
                        *_numbers("value", "low", "high"),
                    ],
                    "description": {"field": "said"},
                },
            },
        ],
    )


def differences(unit: str) -> Spec:
    """Second less first, layer by layer, with intervals."""
    x: Spec = {
        "field": "position",
        "type": QUANTITATIVE,
        "title": "layer, in order of depth",
        "axis": {"grid": False, "tickMinStep": 1},
        "scale": {"zero": False, "nice": False, "padding": 12},
    }
    y: Spec = {"field": "difference", "type": QUANTITATIVE, "title": unit}
    return chart(
        "rows",
        width=FILL,
        height=240,
        layer=[
            {"mark": {"type": "rule", "style": "zero", "aria": False}, "encoding": {"y": {"datum": 0}}},
            {
                "mark": {"type": "rule", "strokeWidth": 1.4, "opacity": 0.6, "aria": False},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 55, "style": "ring", "strokeWidth": 1.4},
                "encoding": {
                    "x": x,
                    "y": y,
                    "fillOpacity": {"condition": {"test": "datum.differs", "value": 1}, "value": 0},
                    "strokeOpacity": {"value": 1},
                    "tooltip": [
                        LAYER,
                        *_numbers("first_value", "second_value", "difference", "low", "high"),
                        {"field": "p", "title": "p (Holm)"},
                    ],
                    "description": {"field": "said"},
                },
            },
            {
                "mark": {"type": "text", "dx": 8, "dy": -4, "align": "left", "aria": False},
                "encoding": {"x": x, "y": y, "text": {"field": "label"}},
            },
        ],
    )


def ranks(first: str, second: str) -> Spec:
    """Rank of each layer by one model against its rank by the other; 1 is the highest."""

    def axis(field: str, title: str) -> Spec:
        return {
            "field": field,
            "type": QUANTITATIVE,
            "title": title,
            "scale": {"reverse": True, "zero": False, "nice": False, "padding": 12},
            "axis": {"tickMinStep": 1},
        }

    x, y = axis("first_rank", f"rank by {first}"), axis("second_rank", f"rank by {second}")
    return chart(
        "rows",
        width=FILL,
        height=360,
        layer=[
            {
                "mark": {"type": "point", "filled": True, "size": 45, "style": "dot"},
                "encoding": {
                    "x": x,
                    "y": y,
                    "tooltip": [
                        LAYER,
                        {"field": "first_rank"},
                        {"field": "second_rank"},
                    ],
                    "description": {"field": "player"},
                },
            },
            {
                "transform": [{"filter": "datum.first_rank <= 5 || datum.second_rank <= 5"}],
                "mark": {"type": "text", "dx": 7, "align": "left", "aria": False},
                "encoding": {"x": x, "y": y, "text": {"field": "player"}},
            },
        ],
    )


def _numbers(*fields: str) -> list[Spec]:
    return [{"field": field, "format": ".3~g"} for field in fields]
