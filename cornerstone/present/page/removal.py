"""What can be removed: accuracy along the deletion curves, which layers go at each point, and what that saves."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cornerstone.analysis.deletion import deletion_order
from cornerstone.game.coalitions import name, without
from cornerstone.game.game import ACCURACY, MEAN
from cornerstone.present.page.source import Source
from cornerstone.present.page.units import rounded, unit_of

ORDERS = {
    "shapley": "by Shapley value",
    "ablation": "by drop alone",
    "depth": "by depth",
    "influence": "by block influence",
    "perplexity": "by drop of log-probability",
    "random": "at random",
}
"""Orders of removal as a reader knows them; others keep their names."""
PAIRED = ("loss", "loss_low", "loss_high", "above_depth", "above_depth_low", "above_depth_high")
"""Columns of the paired differences to the whole model and to the order by depth."""
FEW = (
    "With few documents much can be lost without being seen. Orders and losses are by accuracy: a layer that goes here "
    "may matter by another value function."
)
"""What no curve shows."""
DIRECTIONS = {"least": "least important first", "most": "most important first"}
"""Directions as a reader knows them."""


def of(source: Source) -> dict[str, Any]:
    """The deletion curves of a model; empty where the config asks for none.

    Returns:
        `curves`: rows of order, direction, task and the points' removed, accuracy, low, high, and `PAIRED`. `layers`:
        order -> direction -> the names of the players in the order in which they go. `coalitions`: order -> direction
        -> number removed -> name of the coalition. `orders`, `directions`: their names for readers. `total`: players.
    """
    if not source.has("deletion"):
        return {}
    frame = source.table("deletion")
    factor = unit_of(ACCURACY, source.config).factor
    curves = [
        {
            "order": order,
            "direction": direction,
            "task": task,
            "removed": rows["removed"].astype(int).tolist(),
            **{column: rounded(rows[column], factor) for column in ("accuracy", "low", "high")},
            **{column: rounded(rows[column], factor) for column in PAIRED},
        }
        for (order, direction, task), rows in frame.groupby(["order", "direction", "task"], sort=False)
    ]
    names = source.players["player"].tolist()
    used, ways = (list(dict.fromkeys(frame[column])) for column in ("order", "direction"))
    places = {(order, way): _places(source, frame, order, way) for order in used for way in ways}
    players = source.config.models[source.model].all_players()
    counts = sorted({int(count) for count in frame["removed"]})
    return {
        "curves": curves,
        "layers": {order: {way: [names[place] for place in places[order, way]] for way in ways} for order in used},
        "coalitions": {
            order: {
                way: {str(count): name(without(places[order, way][:count], players), players) for count in counts}
                for way in ways
            }
            for order in used
        },
        "counts": counts,
        "orders": {order: ORDERS.get(order, order) for order in used},
        "directions": {way: DIRECTIONS.get(way, way) for way in ways},
        "total": len(names),
    }


def _places(source: Source, frame: pd.DataFrame, order: str, direction: str) -> list[int]:
    """Positions of the players in the order in which they go, at least as far as the curve goes."""
    if "layers" not in frame:
        return deletion_order(direction, _by(source, order))
    rows = frame[(frame["order"] == order) & (frame["direction"] == direction)]
    places = dict(zip(source.players["player"], source.players["position"], strict=True))
    longest = rows.sort_values("removed")["layers"].iloc[-1]
    return [int(places[name]) for name in str(longest).split()]


def _by(source: Source, order: str) -> pd.DataFrame:
    """Position and value of each player, mean over tasks and of all documents, by which an order is made."""
    if order == "depth":
        return pd.DataFrame({"position": source.players["position"], "value": -source.players["position"]})
    table, column = (source.headline, "value") if order == "shapley" else (source.table("ablation"), "drop")
    rows = table[table["task"] == MEAN]
    return pd.DataFrame({"position": rows["position"], "value": rows[column]})


def cross_fitted(source: Source) -> bool:
    """Whether curves are drawn on other documents than those that gave their order."""
    frame = source.table("deletion")
    return "cross_fitted" in frame and bool(frame["cross_fitted"].astype(bool).any())


def summary(source: Source) -> str:
    """What removing layers costs in the mean over tasks, in sentences.

    A loss is clear where the interval of the paired difference to the whole model lies above 0. Where the whole model
    is not clearly above chance, that is said first: then there is little to lose.
    """
    frame = source.table("deletion")
    order = source.config.deletion.orders[0]
    rows = frame[(frame["task"] == MEAN) & (frame["order"] == order) & (frame["direction"] == "least")]
    rows = rows[rows["removed"] > 0].sort_values("removed")
    clear = rows[rows["loss_low"] > 0]
    how = f"{source.noun}s {ORDERS.get(order, order)}, least important first,"
    if clear.empty:
        said = f"Removing {_cost(rows.iloc[-1], how)}. No removal that was measured clearly costs accuracy."
    else:
        said = f"Removing {_cost(clear.iloc[0], how)}: clearly more than nothing."
        before = rows[rows["removed"] < int(clear["removed"].iloc[0])]
        if len(before):
            said += f" Removing {int(before['removed'].iloc[-1])} does not clearly cost anything."
    known = source.baselines.dropna(subset=["chance"])
    at_chance = len(known) > 0 and known["original"].mean() <= known["chance"].mean()
    nothing = "The whole model is at chance or below in the mean over tasks, so there is nothing to lose. "
    return f"{nothing if at_chance else ''}{said} {FEW}"


def _cost(row: pd.Series, how: str) -> str:
    value, low, high = (100 * float(row[f"loss{end}"]) for end in ("", "_low", "_high"))
    cost = f"{value:.1f} points of accuracy ({low:.1f} to {high:.1f})".replace("-", "−")
    return f"{int(row['removed'])} {how} costs {cost} in the mean over tasks"
