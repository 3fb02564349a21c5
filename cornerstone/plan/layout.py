"""Where everything is: every path of every file, and nothing else.

Paths are strings, as Snakemake wants them, relative to the working directory. A model or task may be a wildcard such as
`{model}`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cornerstone.assets.contents import CACHE
from cornerstone.assets.identity import folder_name
from cornerstone.assets.recipe import Recipe, recipe
from cornerstone.config.config import Config
from cornerstone.config.pairs import Pair, name_of
from cornerstone.game.game import ACCURACY
from cornerstone.log import LOGS, OF

PICTURES = (".svg", ".pdf", ".png", "-column.pdf", "-neurips.pdf")
"""What the names of a figure's files end in: formats, and the widths of `figures.WIDTHS`."""


@dataclass(frozen=True)
class Layout:
    """The paths of a configuration."""

    config: Config

    @property
    def results(self) -> str:
        """Folder of all results."""
        return self.config.paths.results

    @property
    def logs(self) -> str:
        """Folder of the logs of jobs that make results: one for each results folder, as studies share names of models.

        The logs of fetches, whose files studies share, are in `logs` itself.
        """
        name = re.sub(r"[^\w.-]+", "-", self.results).strip("-.")
        return LOGS if self.results == "results" else f"{LOGS}/{OF}{name}"

    @property
    def resources(self) -> str:
        """Folder of weights and documents."""
        return self.config.paths.resources

    # What fetch makes.

    def model_marker(self, model: str) -> str:
        """JSON file that says where a model's weights are."""
        return f"{self.resources}/models/{model}.json"

    def outline_marker(self, model: str) -> str:
        """JSON file that says where a model's config and tokenizer are: the weights' own, where `plan` may use that.

        A hub model whose weights were not fetched has one of its own: planning must not download them. Of a GGUF file
        and of an adapter there is no outline without them.
        """
        marker, entry = self.model_marker(model), self.config.models[model]
        if entry.source != "hub" or entry.file or entry.base or Path(marker).is_file():
            return marker
        return self.outline_only(model)

    def outline_only(self, model: str) -> str:
        """JSON file that says where the config and tokenizer of a hub model are, without weights."""
        return f"{self.resources}/outlines/{model}.json"

    def weights(self, model: str) -> str:
        """Folder of weights, whatever models of the config name them; where they come from is part of its name."""
        return f"{self.resources}/models/{folder_name(self.config.models[model])}"

    @property
    def checksums(self) -> str:
        """JSON file of the checksums of weights on disk."""
        return f"{self.resources}/models/{CACHE}"

    def outline(self, model: str) -> str:
        """Folder of the config and tokenizer of a hub model whose weights are not wanted."""
        return f"{self.resources}/outlines/{folder_name(self.config.models[model])}"

    @property
    def wheels(self) -> str:
        """Folder in which wheels are kept."""
        return f"{self.resources}/wheels"

    def documents_for(self, model: str, task: str) -> str:
        """JSON file of a task's documents, on which a model is scored.

        Raises:
            TaskError: a file or folder that the config names is not there.
        """
        return self.documents(recipe(self.config, model, task))

    def documents(self, made_by: Recipe) -> str:
        """JSON file of a task's documents, made by a recipe."""
        return f"{self.resources}/documents/{made_by.source}/{made_by.file_name}"

    def drawn(self, name: str, digest: str) -> str:
        """JSON file of coalitions that were drawn at random for an estimator."""
        return f"{self.resources}/plans/{name}-{digest}.json"

    def reference(self, model: str) -> list[str]:
        """The documents over which a model's mean contributions are taken, where these stand in for what is removed."""
        found = self.config.models[model].reference
        return [] if found is None else [self.documents_for(model, found.task)]

    # What evaluate jobs make.

    def means(self, model: str, digest: str) -> str:
        """Mean contributions of a model's sublayers; what decides them is part of the name.

        It is among the results, as jobs in a container may write nowhere else.
        """
        return f"{self.results}/{model}/means-{digest}.safetensors"

    def coalitions(self, model: str, task: str) -> str:
        """Folder of the results of planned coalitions, and of those that somebody asked for."""
        return f"{self.results}/{model}/{task}/coalitions"

    def coalition(self, model: str, task: str, name: str) -> str:
        """Result of one coalition."""
        return f"{self.coalitions(model, task)}/{name}.json"

    def chunk(self, model: str, task: str, number: int | str) -> str:
        """JSON file that says that the results of a chunk of the plan are there: what Snakemake looks at."""
        return f"{self.results}/{model}/{task}/chunks/{number}.json"

    def deletion_coalitions(self, model: str, task: str) -> str:
        """Folder of the results that only deletion curves want: known when values are estimated, so in no plan."""
        return f"{self.results}/{model}/{task}/deletion"

    def deletion_coalition(self, model: str, task: str, name: str) -> str:
        """Result of one of these."""
        return f"{self.deletion_coalitions(model, task)}/{name}.json"

    def values(self, model: str, task: str) -> str:
        """All planned results of a task as one table."""
        return f"{self.results}/{model}/{task}/values.parquet"

    def deletion_values(self, model: str, task: str) -> str:
        """The results of the deletion curves as one table."""
        return f"{self.results}/{model}/{task}/deletion.parquet"

    def influence(self, model: str, task: str) -> str:
        """How much each player turns the residual stream on a task, where deletion curves ask for it."""
        return f"{self.results}/{model}/{task}/influence.csv"

    def influences(self, model: str) -> list[str]:
        """These tables of all tasks; none where no deletion curve asks for them."""
        wanted = "influence" in self.config.deletion.orders
        return [self.influence(model, task) for task in self.config.scored_tasks] if wanted else []

    # What is estimated: the CSV files of a model. Their stems are the names by which the analysis hands tables over.

    def csv(self, model: str, stem: str) -> str:
        """One table of estimates of a model."""
        return f"{self.results}/{model}/{stem}.csv"

    def provenance(self, model: str) -> str:
        """JSON file that says what a model's estimates were made from."""
        return f"{self.results}/{model}/provenance.json"

    def estimates(self, model: str) -> list[str]:
        """The tables of values, ablation and what follows from them."""
        stems = [
            shapley(entry.name, function) for entry in self.config.estimators for function in self.config.functions
        ]
        stems += [cornerstones(function) for function in self.config.functions]
        stems += ["estimators", "power", "ablation", "baselines", "share", "mean_drop", "mean_drop_by_task"]
        stems += ["orders"] if self.config.deletion.orders else []
        return [self.csv(model, stem) for stem in stems]

    def look(self, model: str) -> str:
        """JSON file of what a model's present look at the documents says, where the config has `until`."""
        return f"{self.results}/{model}/looks/{self.config.look(model).documents}.json"

    @property
    def looks(self) -> list[str]:
        """These files of all models; none where the config has no `until`."""
        return [self.look(model) for model in self.config.run] if self.config.until else []

    def relations(self, model: str) -> list[str]:
        """The tables of interactions, and of the paper's assumptions and hypotheses."""
        names = self.config.interaction_names(model)
        stems = [interactions(name, function) for name in names for function in self.config.functions]
        stems += ["by_distance"] if names else []
        return [self.csv(model, stem) for stem in [*stems, "by_removed", "hypotheses"]]

    def deletion(self, model: str) -> list[str]:
        """The tables of deletion curves and of how well their orders rank, where the config asks for some."""
        return [self.csv(model, stem) for stem in ("deletion", "order_quality")] if self.config.deletion.orders else []

    def noise(self, model: str) -> list[str]:
        """How far the same coalitions differ, computed again; none where the config does not ask for it."""
        return [self.csv(model, "noise")] if self.config.noise.coalitions else []

    def shown(self, model: str) -> dict[str, str]:
        """What figures and tables can show of a model, by name: `shapley` is that of the headline, by accuracy."""
        paths = [*self.estimates(model), *self.relations(model), *self.deletion(model), *self.noise(model)]
        named = {Path(path).stem: path for path in paths}
        named["shapley"] = named[shapley(self.config.headline.name)]
        names = self.config.interaction_names(model)
        return named | ({"interactions": named[interactions(names[0])]} if names else {})

    # Two models side by side.

    def compared(self, pair: Pair) -> dict[str, str]:
        """The tables of a comparison, by name: `agreement` and `differences` where the models have equal players."""
        folder = f"{self.results}/compare/{name_of(pair)}"
        kinds = ["bands", "depth", *(["agreement", "differences"] if self.config.equal_players(pair) else [])]
        stems = [of_function(kind, function) for kind in kinds for function in self.config.compared_functions]
        return {stem: f"{folder}/{stem}.csv" for stem in ["concentration", *stems]}

    def comparison_provenance(self, pair: Pair) -> str:
        """JSON file that says what a comparison was made from."""
        return f"{self.results}/compare/{name_of(pair)}/provenance.json"

    def comparison_figure(self, pair: str, kind: str) -> list[str]:
        """One figure of a comparison, by the pair's name, in all its formats."""
        return [f"{self.results}/figures/compare/{pair}/{kind}{ending}" for ending in PICTURES]

    # What readers see.

    def figure(self, model: str, kind: str) -> list[str]:
        """One figure in all its formats."""
        return [f"{self.results}/figures/{model}/{kind}{ending}" for ending in PICTURES]

    def table(self, name: str) -> list[str]:
        """One table of the paper in all its formats."""
        return [f"{self.results}/tables/{name}.{ending}" for ending in ("csv", "md", "tex")]

    @property
    def summary(self) -> str:
        """What was found, on one page."""
        return f"{self.results}/summary.md"

    @property
    def index(self) -> str:
        """The page: that of the model, or of all models where there are several."""
        return f"{self.results}/index.html"

    def page(self, model: str) -> str:
        """The page of one model."""
        return self.index if len(self.config.run) == 1 else f"{self.results}/{model}.html"

    @property
    def compare_page(self) -> str:
        """The page of models side by side."""
        return f"{self.results}/compare.html"

    @property
    def pages(self) -> list[str]:
        """All pages."""
        pages = [self.index, *(self.page(model) for model in self.config.run)]
        return list(dict.fromkeys([*pages, *([self.compare_page] if self.config.pairs else [])]))

    @property
    def package(self) -> str:
        """What the files of the results are, for programs."""
        return f"{self.results}/datapackage.json"

    @property
    def report(self) -> str:
        """Snakemake's report: all figures and tables in one file."""
        return f"{self.results}/report.html"

    @property
    def forecast(self) -> list[str]:
        """What `snakemake plan` writes."""
        return [f"{self.results}/plan.csv", f"{self.results}/plan.md"]


def shapley(estimator: str, function: str = ACCURACY) -> str:
    """Stem of the values of an estimator."""
    return of_function(f"shapley_{estimator}", function)


def cornerstones(function: str = ACCURACY) -> str:
    """Stem of what can be said of the top players, by the headline estimator."""
    return of_function("cornerstones", function)


def interactions(name: str, function: str = ACCURACY) -> str:
    """Stem of interactions of pairs of players."""
    return of_function(f"interactions_{name}", function)


def of_function(stem: str, function: str) -> str:
    """Stem of a table of one value function."""
    return stem if function == ACCURACY else f"{stem}_{function}"
