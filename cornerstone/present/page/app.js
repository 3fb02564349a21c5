/* The page's own script: it fills the named data sets of the specifications with what its switches choose. */
"use strict";
(() => {
  const $ = (query, root = document) => root.querySelector(query);
  const $$ = (query, root = document) => [...root.querySelectorAll(query)];
  const data = JSON.parse($("#data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  document.documentElement.classList.add("scripted");

  // Words and numbers.

  const shown = (value) => {
    if (value === null || value === undefined) return "–";
    if (value === 0) return "0";
    const size = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(2)))));
    return value.toFixed(Math.max(0, 1 - size)).replace("-", "−");
  };
  const tenths = (value) => (value === null || value === undefined ? "–" : value.toFixed(1).replace("-", "−").replace(/^−0\.0$/, "0.0"));
  const between = (low, high) => `${shown(low)} to ${shown(high)}`;
  const probability = (p) => (p === null ? "–" : p < 0.001 ? "<\u00a00.001" : p.toFixed(3));
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const grid = (head, rows) => {
    const table = element("table"), top = table.createTHead().insertRow(), body = table.createTBody();
    head.forEach((name) => top.append(element("th", name, { scope: "col" })));
    rows.forEach((row) => { const line = body.insertRow(); row.forEach((cell) => line.insertCell().append(cell)); });
    const box = element("div", undefined, { class: "tabled" }), tools = element("span", undefined, { class: "tools" });
    tools.append(element("button", "copy TSV", { type: "button", "data-tsv": "", "aria-label": `copy as TSV: ${head.join(", ")}` }));
    box.append(table, tools);
    return box;
  };
  const say = (text) => { $("#said").textContent = text; };

  // Charts: drawn from a specification, saved in three formats, shown as a table.

  const charts = new Map();

  function prepared(name, theme, width) {
    const { spec, sets } = charts.get(name);
    const made = structuredClone(spec);
    made.datasets = sets;
    made.description = document.getElementById(`chart-${name}`).getAttribute("aria-label");
    if (made.vconcat) made.vconcat.forEach((view) => { view.width = Math.max(160, width - 104 - (width < 600 ? 24 : 70)); });
    else {
      const step = made.height.step, field = made.encoding?.y?.field;
      if (step) made.height = step * Math.max(1, new Set(sets.rows.map((row) => row[field])).size);
      Object.assign(made, { width, autosize: { type: "fit-x", contains: "padding" } });
    }
    return { made, config: data.themes[theme] };
  }

  async function draw(name, spec, sets, columns, rows) {
    const place = document.getElementById(`chart-${name}`);
    if (!place) return;
    const turn = {};
    charts.set(name, { spec, sets, columns, rows, turn, view: charts.get(name)?.view });
    const theme = dark.matches ? "dark" : "light";
    const { made, config } = prepared(name, theme, Math.max(280, place.clientWidth));
    const target = element("div");
    const result = await vegaEmbed(target, made, {
      mode: "vega-lite", ast: true, renderer: "svg", actions: false, config, tooltip: { theme },
    });
    const entry = charts.get(name);
    if (entry.turn !== turn) { result.finalize(); return; }
    entry.view?.finalize();
    entry.view = result.view;
    place.replaceChildren(target);
    await result.view.resize().runAsync();
    result.view.addEventListener("click", (_, item) => {
      const who = item?.datum?.player ?? item?.datum?.first;
      if (who !== undefined && index.has(who)) choose({ layer: who }, true);
    });
    const table = place.closest("figure").querySelector(".numbers");
    if (table.open) fill(table, entry);
  }

  const fill = (details, entry) => {
    const cells = (row) => Object.keys(entry.columns).map((key) => (typeof row[key] === "number" ? shown(row[key]) : String(row[key] ?? "–")));
    $(".scroll", details).replaceChildren(grid(Object.values(entry.columns), entry.rows.map(cells)));
  };

  const quoted = (value) => (/[",\n]/.test(String(value ?? "")) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  const comma = (entry) => {
    const keys = Object.keys(entry.columns);
    return [keys, ...entry.rows.map((row) => keys.map((key) => row[key]))].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  };

  async function save(name, kind) {
    const entry = charts.get(name);
    let address, blob;
    if (kind === "csv") blob = new Blob([comma(entry)], { type: "text/csv" });
    else {
      const { made, config } = prepared(name, "light", 900);
      const result = await vegaEmbed(element("div"), made, {
        mode: "vega-lite", ast: true, renderer: "svg", actions: false, config: { ...config, background: "white" },
      });
      if (kind === "svg") blob = new Blob([await result.view.toSVG()], { type: "image/svg+xml" });
      else address = await result.view.toImageURL("png", 2);
      result.finalize();
    }
    if (blob) address = URL.createObjectURL(blob);
    const link = element("a", undefined, { href: address, download: `${data.model ?? "compare"}-${name}.${kind}` });
    document.body.append(link);
    link.click();
    link.remove();
    if (blob) setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  $$("figure.chart").forEach((figure) => {
    const name = figure.dataset.chart;
    $$("[data-save]", figure).forEach((button) => button.addEventListener("click", () => save(name, button.dataset.save)));
    $(".numbers", figure).addEventListener("toggle", (event) => { if (event.target.open) fill(event.target, charts.get(name)); });
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-tsv]");
    if (!button) return;
    const cells = (row) => [...row.cells].map((cell) => cell.textContent.trim().replaceAll(/\s+/g, " ")).join("\t");
    copied([...$("table", button.closest(".tabled")).rows].map(cells).join("\n") + "\n", button);
  });
  $$("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    await copied(document.getElementById(button.dataset.copy).textContent, button);
  }));
  async function copied(text, button) {
    try {
      await navigator.clipboard.writeText(text);
      say("copied");
      const before = button.dataset.before ??= button.textContent;
      button.textContent = "copied";
      setTimeout(() => { button.textContent = before; }, 1500);
    } catch { say("The browser does not let a page copy here: mark the text and copy it."); }
  }

  // What is chosen. It stands in the address, so that a view can be sent to somebody.

  const index = new Map((data.players ?? []).map((player, place) => [player.name, place]));
  const parts = { function: "value", task: "task", estimator: "estimator", order: "order", direction: "direction", every: "orders", axis: "along", by: "by", remove: "remove", flips: "flips", quantity: "quantity" };
  const standard = data.defaults;
  const choices = data.choices;
  const state = { ...standard };

  function fromAddress() {
    const words = decodeURIComponent(location.hash.slice(1)).split("&");
    const found = { ...standard };
    if (index.has(words[0])) found.layer = words[0];
    for (const word of words) {
      const [key, value] = word.split("=");
      const name = Object.keys(parts).find((part) => parts[part] === key);
      if (name && choices[name]?.includes(value)) found[name] = value;
    }
    return found;
  }

  function toAddress() {
    const words = state.layer === standard.layer ? [] : [state.layer];
    for (const [name, key] of Object.entries(parts)) if (state[name] !== standard[name]) words.push(`${key}=${state[name]}`);
    const hash = words.map(encodeURIComponent).join("&").replaceAll("%3D", "=");
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", `${location.pathname}${location.search}${hash ? `#${hash}` : ""}`);
  }

  function choose(changes, go = false) {
    Object.assign(state, changes);
    toAddress();
    show(new Set(Object.keys(changes)));
    if (go) $("#layer").scrollIntoView({ block: "start" });
  }

  $$("[data-switch]").forEach((place) => {
    const name = place.dataset.switch, options = choices[name] ?? [], names = data.labels[name] ?? {};
    if (place.classList.contains("buttons")) {
      for (const option of options) {
        const button = element("button", names[option] ?? option, { type: "button", "data-option": option });
        button.addEventListener("click", () => choose({ [name]: option }));
        place.append(button);
      }
    } else if (place.tagName === "SELECT") {
      if (!place.options.length) for (const option of options) place.add(new Option(names[option] ?? option, option));
      place.addEventListener("change", () => choose({ [name]: place.value }));
    } else if (place.type === "checkbox") {
      place.addEventListener("change", () => choose({ [name]: place.checked ? "all" : "two" }));
    } else {
      place.max = options.length - 1;
      place.addEventListener("input", () => choose({ [name]: options[place.value] }));
    }
  });
  $$("[data-step]").forEach((button) => button.addEventListener("click", () => {
    const count = data.players.length, place = (index.get(state.layer) + Number(button.dataset.step) + count) % count;
    choose({ layer: data.players[place].name });
  }));

  function showSwitches() {
    $$("[data-switch]").forEach((place) => {
      const value = state[place.dataset.switch];
      if (place.classList.contains("buttons")) $$("button", place).forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.option === value)));
      else if (place.type === "checkbox") place.checked = value === "all";
      else if (place.type === "range") { place.value = (choices[place.dataset.switch] ?? []).indexOf(value); place.setAttribute("aria-valuetext", `${value} removed`); }
      else place.value = value;
    });
  }

  // One model.

  const MEAN = "mean";
  const columnsOfLayers = { player: "layer", kind: "kind", value: "value", low: "low", high: "high", ranks: "true rank", pshown: "p (above median, Holm)" };

  const mixed = () => data.means[state.function] !== data.functions[state.function];
  const unitOf = (name, task) => (task === MEAN ? data.means : data.functions)[name];

  function layers(task, name = state.function) {
    const found = data.values[name][state.estimator][task], unit = unitOf(name, task);
    return data.players.map((player, place) => {
      const row = { player: player.name, kind: player.kind, block: player.block, place, task: data.tasks[task] };
      for (const key of ["value", "low", "high", "rank", "p"]) row[key] = found[key][place];
      row.ranks = `${found.rank_low[place]} to ${found.rank_high[place]}`;
      row.pshown = probability(row.p);
      row.clear = row.p <= 1 - data.level + 1e-9;
      row.excludes = row.low > 0 || row.high < 0;
      row.said = `${row.player}, ${row.task}: ${shown(row.value)} ${unit} (${between(row.low, row.high)}), true rank ${row.ranks}, ${row.clear ? "" : "not "}clearly above the median`;
      return row;
    });
  }

  const byValue = (rows) => [...rows].sort((a, b) => b.value - a.value || a.place - b.place);
  const extreme = (rows) => {
    const sizes = rows.map((row) => Math.abs(row.value)).sort((a, b) => a - b);
    return sizes[Math.floor(0.97 * (sizes.length - 1))] || 1;
  };

  function showMap() {
    const rows = layers(state.task), places = new Map();
    (state.order === "value" ? byValue(rows) : rows).forEach((row, place) => places.set(row.player, state.order === "value" ? place + 1 : place));
    const top = new Set(byValue(rows).slice(0, window.innerWidth < 560 ? 2 : 5).map((row) => row.player));
    const shift = state.order === "value" ? 1 : 0;
    const put = (row) => { const x = places.get(row.player); return { ...row, x, from: x - 0.5, to: x + 0.5, label: top.has(row.player) ? row.player : "" }; };
    const values = rows.map(put), named = values.filter((row) => row.label).sort((a, b) => a.x - b.x);
    // Names of near neighbours would lie on one another: every second one stands higher.
    named.forEach((row, i) => { row.raised = i > 0 && !named[i - 1].raised && row.x - named[i - 1].x < rows.length / 12; row.late = row.x > 0.93 * rows.length; });
    // Where the mean has another unit than the tasks, no colour could stand for both: each row has its own scale.
    const shade = (row) => { const end = extreme(row); return row.map((each) => ({ ...each, shade: each.value / end })); };
    const every = Object.keys(data.tasks).map((task) => layers(task).map(put));
    const heat = mixed() ? every.flatMap(shade) : every.flat().map((row) => ({ ...row, shade: row.value }));
    const spec = structuredClone(data.specs.map[state.function][state.order]), end = mixed() ? 1 : extreme(heat);
    spec.vconcat[0].layer.forEach((layer) => { if (layer.encoding.y?.title) layer.encoding.y.title = unitOf(state.function, state.task); });
    spec.vconcat[1].layer[0].encoding.color.scale.domain = [-end, end];
    if (shift) spec.vconcat.forEach((view) => [view.encoding, ...view.layer.map((layer) => layer.encoding)].forEach((encoding) => { if (encoding?.x?.scale) encoding.x.scale.domain = [0.25, rows.length + 0.75]; }));
    return draw("map", spec, { values, heat }, { task: "task", ...columnsOfLayers }, heat);
  }

  function showTop() {
    const rows = byValue(layers(state.task)).slice(0, 15).map((row) => ({ ...row, note: `rank ${row.ranks}` }));
    const spec = structuredClone(data.specs.top[state.function]);
    spec.layer.forEach((layer) => { if (layer.encoding.x?.title) layer.encoding.x.title = unitOf(state.function, state.task); });
    return draw("top", spec, { rows }, columnsOfLayers, rows);
  }

  function showLayer() {
    const place = index.get(state.layer), player = data.players[place], unit = unitOf(state.function, state.task);
    const row = layers(state.task)[place];
    $("#layer-title").textContent = player.name;
    $("#layer-words").textContent = `${player.name} (${player.kind}, block ${player.block}): ${shown(row.value)} ${unit} (${between(row.low, row.high)}) by ${state.function}, ${row.task}. Its true rank is ${row.ranks} of ${data.players.length}. It is ${row.clear ? "" : "not "}clearly above the median ${data.noun} (p ${row.p < 0.001 ? "" : "= "}${row.pshown}).`;
    const rows = Object.keys(data.tasks).filter((task) => task !== MEAN || !mixed()).map((task) => layers(task)[place]).map((each) => ({ ...each, note: `rank ${each.ranks}` }));
    const names = Object.keys(data.functions).map((name) => {
      const each = layers(MEAN, name)[place];
      return [name, `${shown(each.value)} (${between(each.low, each.high)})`, data.means[name], each.ranks, each.pshown];
    });
    $("#layer-functions").replaceChildren(grid(["value function", "mean over tasks", "unit", "true rank", "p"], names));
    const drops = Object.entries(data.tasks).map(([task, name]) => {
      const base = data.baselines[task], lost = data.ablation[task];
      return [name, tenths(base.original), tenths(lost.accuracy[place]), `${tenths(lost.drop[place])} (${tenths(lost.low[place])} to ${tenths(lost.high[place])})`, tenths(base.chance)];
    });
    $("#layer-drops").replaceChildren(grid(["task", "whole model", "without it", "drop", "chance"], drops));
    showNeighbours(place);
    showFlips(place);
    return draw("tasks", data.specs.tasks[state.function], { rows }, { task: "task", ...columnsOfLayers }, rows);
  }

  function pairs() {
    const found = data.pairs.functions[state.function];
    return found.first.map((first, i) => {
      const second = found.second[i], row = { first: data.players[first].name, second: data.players[second].name, x: first, from: first - 0.5, to: first + 0.5, distance: second - first };
      for (const key of ["value", "low", "high", "q"]) row[key] = found[key][i];
      row.found = row.q !== null && row.q <= 1 - data.level + 1e-9;
      row.places = [first, second];
      row.said = `${row.first} and ${row.second}: ${shown(row.value)} ${data.means[state.function]} (${between(row.low, row.high)})${row.found ? ", found to interact" : ""}`;
      return row;
    });
  }

  function showNeighbours(place) {
    const target = $("#layer-pairs");
    if (!target) return;
    const rows = pairs().filter((row) => row.places.includes(place)).sort((a, b) => b.found - a.found || Math.abs(b.value) - Math.abs(a.value));
    const found = rows.filter((row) => row.found).length;
    const words = element("p", found ? `${found} of ${rows.length} pairs with it are found to interact.` : `None of its ${rows.length} pairs is found to interact (false discovery rate ${Math.round(100 * (1 - data.level))} %). The largest:`, { class: "quiet" });
    target.replaceChildren(words, grid(["with", "interaction", "found", "reads"], rows.slice(0, Math.max(4, found)).map((row) => [
      row.places[0] === place ? row.second : row.first, `${shown(row.value)} (${between(row.low, row.high)})`, row.found ? "yes" : "no", row.value > 0 ? "they need each other" : row.value < 0 ? "they stand in for one another" : "nothing",
    ])));
  }

  function showPairs() {
    if (!data.specs.pairs) return undefined;
    const rows = pairs(), found = data.pairs.functions[state.function], spec = structuredClone(data.specs.pairs[state.function]), end = extreme(rows);
    spec.layer[0].encoding.color.scale.domain = [-end, end];
    const chance = Math.round(found.total * (1 - data.level));
    $("#pairs-words").textContent = `Mean over tasks (${data.pairs.name}). Of ${found.total.toLocaleString("en")} pairs, ${found.excluded} have an interval without 0; by chance there would be about ${chance}. ${found.found} are found to interact at a false discovery rate of ${Math.round(100 * (1 - data.level))} % (dots).${rows.length < found.total ? ` The ${rows.length} surest are shown.` : ""} Click a pair to open its first layer.`;
    return draw("pairs", spec, { rows }, { first: "first", second: "second", distance: "distance", value: "value", low: "low", high: "high", q: "q" }, rows);
  }

  // Documents that flip.

  function showFlips(place) {
    const { documents, players, counts } = data.flips, chosen = state.task;
    const mine = Object.entries(counts[place]).filter(([task]) => chosen === MEAN || task === chosen);
    const lost = mine.reduce((sum, [, each]) => sum + each[0], 0), won = mine.reduce((sum, [, each]) => sum + each[1], 0);
    const rows = players[place].map(([where, isLost, change, after]) => ({ text: documents[where], lost: isLost, change, after })).filter((row) => chosen === MEAN || row.text.task === chosen);
    const by = { change: (row) => -Math.abs(row.change), lost: (row) => -row.lost * 1e9 - Math.abs(row.change), won: (row) => row.lost * 1e9 - Math.abs(row.change) }[state.flips];
    rows.sort(by ? (a, b) => by(a) - by(b) : (a, b) => a.text.task.localeCompare(b.text.task) || Math.abs(b.change) - Math.abs(a.change));
    $("#flips-words").textContent = `Without ${data.players[place].name}, right answers that become wrong: ${lost}; wrong ones that become right: ${won} (${chosen === MEAN ? "all tasks" : data.tasks[chosen]}). ${rows.length ? `The ${rows.length} with the largest changes of the margin:` : "No document to show."}`;
    $("#flips").replaceChildren(...rows.map(flip));
  }

  function flip(row) {
    const { text } = row, box = element("details", undefined, { class: "flip" }), head = element("summary");
    head.append(element("span", row.lost ? "lost" : "won", { class: row.lost ? "lost" : "won" }), ` ${data.tasks[text.task] ?? text.task}, document ${text.id}, margin ${row.change > 0 ? "+" : ""}${shown(row.change)}: ${(text.prompt || text.choices[0]).replaceAll(/\s+/g, " ").replace(/^.*(?=.{90}$)/, "… ")}`);
    box.append(head);
    box.addEventListener("toggle", () => {
      if (!box.open || box.childElementCount > 1) return;
      if (text.prompt) box.append(element("pre", (text.cut ? "… " : "") + text.prompt, { tabindex: "0" }));
      const per = data.baselines[text.task]?.metric !== "acc", score = (values, i) => (per ? values[i] / text.lengths[i] : values[i]);
      const best = (values) => values.map((_, i) => i).reduce((a, b) => (score(values, b) > score(values, a) ? b : a));
      const before = best(text.with), after = best(row.after);
      box.append(grid(["choice", "right", "log-likelihood with it", "without it", ...(per ? ["per character with it", "without it"] : []), "chosen"], text.choices.map((choice, i) => [
        choice.trim(), text.gold.includes(i) ? "✓" : "", text.with[i].toFixed(2), row.after[i].toFixed(2), ...(per ? [score(text.with, i).toFixed(3), score(row.after, i).toFixed(3)] : []),
        [i === before ? "with it" : "", i === after ? "without it" : ""].filter(Boolean).join(", "),
      ])));
    });
    return box;
  }

  // What can be removed.

  function showRemoval() {
    const removal = data.removal;
    if (!removal?.curves) return undefined;
    const names = Object.entries(removal.orders), wanted = state.every === "all" ? names : names.filter(([order], i) => data.two.includes(order) || (data.two.length === 0 && i < 2));
    const count = Number(state.remove), rows = [];
    const place = (order, removed) => (state.axis === "count" ? removed : 100 * saved(order, removed, state.axis));
    const most = Math.max(...wanted.flatMap(([order]) => removal.counts.map((removed) => place(order, removed))));
    wanted.forEach(([order, name], number) => {
      const curve = removal.curves.find((each) => each.order === order && each.direction === state.direction && each.task === state.task);
      curve.removed.forEach((removed, i) => rows.push({
        order: name, removed, x: place(order, removed), shifted: place(order, removed) + (number - (wanted.length - 1) / 2) * most / 90, accuracy: curve.accuracy[i], low: curve.low[i], high: curve.high[i],
        said: `${name}, ${removed} removed: ${tenths(curve.accuracy[i])} (${tenths(curve.low[i])} to ${tenths(curve.high[i])})`,
      }));
    });
    // The curves begin at the whole model on the left and end near chance on the right: the names stand at the other ends.
    const base = data.baselines[state.task], spec = structuredClone(data.specs.removed);
    const lines = [{ level: base.original, name: "whole model", side: "right" }];
    if (base.chance !== null) lines.push({ level: base.chance, name: "chance", side: "left" });
    spec.layer.forEach((layer) => ["color", "shape"].forEach((channel) => { const legend = layer.encoding[channel]?.legend; if (legend) legend.values = wanted.map(([, name]) => name); }));
    const title = { count: `${data.noun}s removed`, parameters: "parameters saved (%)", flop: "operations of a token saved (%)" }[state.axis];
    spec.layer.forEach((layer) => { if (layer.encoding.x?.title) layer.encoding.x.title = title; });
    showRemoved(count);
    return draw("removed", spec, { rows, lines, here: [{ removed: place(state.by, count) }] }, { order: "order", removed: "removed", ...(state.axis === "count" ? {} : { x: title }), accuracy: "accuracy", low: "low", high: "high" }, rows);
  }

  // The share of parameters, or of operations, that goes with the first layers of an order.
  function saved(order, count, what) {
    const gone = data.removal.layers[order][state.direction].slice(0, count);
    return gone.reduce((sum, name) => sum + data.size[what][index.get(name)], 0) / data.size[{ parameters: "total", flop: "flop_total" }[what]];
  }

  const big = (value) => (value >= 1e9 ? `${(value / 1e9).toFixed(1)} billion` : value >= 1e6 ? `${(value / 1e6).toFixed(1)} million` : Math.round(value).toLocaleString("en"));

  function showRemoved(count) {
    const removal = data.removal, order = state.by, names = removal.layers[order][state.direction].slice(0, count), target = $("#remove-words");
    $("#remove-count").textContent = `${count} of ${removal.total}`;
    if (!count) { target.replaceChildren(element("p", "Nothing is removed. Move the slider: it stops where the curves were measured.", { class: "quiet" })); return; }
    const list = element("ul", undefined, { class: "names", "aria-label": "layers removed" });
    names.forEach((name) => { const item = element("li"); item.append(element("a", name, { href: `#${name}` })); list.append(item); });
    const between = (curve, i, what) => curve[what][i] === null ? "–" : `${tenths(curve[what][i])} (${tenths(curve[`${what}_low`][i])} to ${tenths(curve[`${what}_high`][i])})`;
    const rows = Object.entries(data.tasks).map(([task, name]) => {
      const curve = removal.curves.find((each) => each.order === order && each.direction === state.direction && each.task === task), i = curve.removed.indexOf(count), base = data.baselines[task];
      return [name, tenths(base.original), `${tenths(curve.accuracy[i])} (${tenths(curve.low[i])} to ${tenths(curve.high[i])})`, between(curve, i, "loss"), between(curve, i, "above_depth"), tenths(base.chance)];
    });
    const found = [element("p", `Removed ${removal.orders[order]}, ${removal.directions[state.direction]}:`), list, grid(["task", "whole model", `without ${count}`, "loss", "above order by depth", "chance"], rows)];
    if (data.size?.parameters) {
      const share = (what) => saved(order, count, what), percent = (part) => `${(100 * part).toFixed(0)} %`;
      found.push(grid(["saved", "whole model", `without ${count}`, "saved", "share"], [
        ["parameters", big(data.size.total), big(data.size.total * (1 - share("parameters"))), big(data.size.total * share("parameters")), percent(share("parameters"))],
        ["floating-point operations of a token", big(data.size.flop_total), big(data.size.flop_total * (1 - share("flop"))), big(data.size.flop_total * share("flop")), percent(share("flop"))],
      ]));
      found.push(element("p", "Operations are those of matrix products with weights, head included. Those of attention's scores grow with the text and are left out. How much faster the model is was not measured here: cornerstone prune --speed does. It takes whole blocks out, and sets a single sublayer's weights to 0: these are saved only by code that skips it.", { class: "quiet" }));
    }
    const box = element("div", undefined, { class: "copy" }), button = element("button", "copy", { type: "button", "aria-label": "copy the command" }), command = data.command.replaceAll("{coalition}", removal.coalitions[order][state.direction][count]).replaceAll("{layers}", names.join(","));
    button.addEventListener("click", () => copied(command, button));
    box.append(button, element("pre", command, { tabindex: "0", id: "remove-command" }));
    found.push(box);
    target.replaceChildren(...found);
  }

  // Two models.

  function showComparisons() {
    return Promise.all(data.comparisons.flatMap((pair) => Object.entries(pair.charts).map(([name, chart]) => {
      const rows = chart.rows.filter((row) => row.quantity === state.quantity);
      return draw(`${name}-${pair.name}`, chart.spec, { rows }, chart.columns, rows);
    })));
  }

  // Which charts follow from which choice.

  const follows = [
    [["function", "task", "estimator", "order"], showMap],
    [["function", "task", "estimator"], showTop],
    [["function", "task", "estimator", "layer", "flips"], showLayer],
    [["task", "direction", "every", "axis", "by", "remove"], showRemoval],
    [["function"], showPairs],
  ];
  function show(changed) {
    showSwitches();
    if (data.comparisons) return showComparisons();
    return Promise.all(follows.filter(([names]) => !changed || names.some((name) => changed.has(name))).map(([, what]) => what()));
  }

  addEventListener("hashchange", () => {
    const words = location.hash.slice(1);
    if (document.getElementById(words) && !index.has(words)) return;
    const before = { ...state }, found = fromAddress();
    const changed = Object.keys(found).filter((name) => found[name] !== before[name]);
    Object.assign(state, found);
    show(new Set(changed));
    if (index.has(words.split("&")[0])) $("#layer").scrollIntoView({ block: "start" });
  });
  dark.addEventListener("change", () => show());
  let waiting, width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => show(), 150);
  });

  Object.assign(state, fromAddress());
  show().then(() => {
    document.documentElement.dataset.drawn = "yes";
    if (index.has(decodeURIComponent(location.hash.slice(1)).split("&")[0])) $("#layer").scrollIntoView({ block: "start" });
  });
})();
