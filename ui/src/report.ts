// The whole report in one element: views, and what links them.
import "./report.css";
import { completenessView } from "./completeness";
import { fingerprint } from "./address";
import { prepare, siteName, type Data } from "./data";
import { detailsView } from "./details";
import { choice, h } from "./dom";
import { edgesView } from "./edges";
import { effectsView } from "./effects";
import { saves } from "./exporter";
import { plain, quantity } from "./format";
import { edgesScene, flowOf, flowScene, shareSaid } from "./flow";
import { graphView } from "./graph";
import { headView } from "./heads";
import { keepInAddress, link } from "./link";
import { lookOf } from "./look";
import { matrixView } from "./matrix";
import { overviewView } from "./overview";
import { pictureView } from "./picture";
import { headline, predictionView, summaryView } from "./prediction";
import { sheetView } from "./sheet";
import { Store, type State } from "./state";
import { tokenView } from "./tokens";
import { leastThreshold } from "./tree-build";
import { treeScene } from "./tree";
import type { Report } from "./types";

const MODES = [["flow", "Flow"], ["tree", "Tree"], ["edges", "Strongest edges"]] as const;
const SCENES = { flow: flowScene, tree: treeScene, edges: edgesScene } as const;
const LINES = [["strongest", "Strongest edges"], ["head", "One head"], ["none", "None"]] as const;
const UNITS = [["words", "Words"], ["tokens", "Tokens"]] as const;

/** Shows a report in `root`, its view `inAddress` where the page is nothing else; what is returned takes it away again. */
export function mount(root: HTMLElement, report: Report, inAddress = false): () => void {
  return shown(root, report, false, inAddress).leave;
}

export interface Shown {
  element: HTMLElement;
  data: Data;
  store: Store;
  leave(): void;
}

/** A report as a part of a page, which has the heading, the text and the colours. */
export function part(root: HTMLElement, report: Report): Shown {
  return shown(root, report, true, false);
}

function shown(root: HTMLElement, report: Report, within: boolean, inAddress: boolean): Shown {
  const look = within ? null : lookOf((theme) => store.set({ theme }));
  const data = prepare(report);
  const strongest = report.edges?.site.length ? ([report.edges.site[0]!, report.edges.head[0]!] as const) : ([0, 0] as const);
  const unit = report.words ? "words" : "tokens";
  const hasTree = data.tokens.top !== null;
  const store = new Store<State>({
    unit,
    mode: "flow",
    threshold: Math.max(report.threshold, Math.ceil(100 * leastThreshold(data[unit])) / 100),
    shown: flowOf(data, data[unit])?.usual ?? 0,
    count: 30,
    layer: Math.max(0, report.sites.length - 1),
    theme: null,
    lines: report.edges ? "strongest" : "head",
    measure: "attribution",
    head: strongest,
    hover: null,
    pinned: null,
    marked: [],
    scale: null,
    window: [0, data[unit].n],
  });
  const units = () => data[store.state.unit];

  const headSection = section("head", "One head", "Where it looks, and what that was worth", matrixView(data, store));
  const open = (site: number, head: number) => {
    store.set({ head: [site, head] });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    headSection.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
  };

  const { picture } = report;
  const words = within ? null : view("tokens", h("div", {}, picture ? pictureView(data, store, picture) : tokenView(data, store, units), summaryView(data, store, units)));
  const input = words && (picture
    ? h("section", { class: "image", "aria-label": "The image" }, heading("The image", words), lineChoice(), words)
    : h("section", { class: "text", "aria-label": "The text" }, heading(null, words), words));
  const graph = view("graph", graphView(data, store, units, () => SCENES[store.state.mode](data, units(), store.state)));
  const measures = ([["attribution", "Attribution"], ["attention", "Attention"], ["effect", "Taken out"]] as const).filter(
    ([name]) =>
      name === "attribution" ||
      (name === "attention" ? report.sites.some((site) => site.head_attention) : !!report.effects),
  );
  const measure = choice("What the cells show", measures, store.state.measure, (chosen) => store.set({ measure: chosen }));
  store.on(["measure"], () => measure.show(store.state.measure));
  const heads = view("heads", headView(data, store, open));
  const effects = effectsView(data, store);
  const details = view("details", detailsView(data, store, open));

  const first = h(
    "div",
    { class: "first" },
    !within && h(
      "header",
      {},
      view("prediction", predictionView(data)),
      h(
        "div",
        { class: "tools", "data-noexport": true },
        h("span", { class: "model" }, h("bdi", {}, report.model)),
        unitChoice(),
        look?.button,
      ),
    ),
    !picture && input,
    overviewView(report, store, units),
    h(
      "div",
      { class: picture ? "main three" : "main" },
      picture && input,
      h("section", { "aria-label": "How it flows" }, heading("How it flows", graph, within ? unitChoice() : null, modeChoice(), slider()), graph),
      h(
        "aside",
        {},
        h("section", { "aria-label": "Layers and heads" }, heading("Layers × heads", heads), measure, heads),
        h("section", { "aria-label": "Details" }, details),
      ),
    ),
  );
  const page = h(
    "div",
    { class: within ? "part" : "attattr" },
    first,
    headSection,
    section("edges", "Edges", "The strongest of all layers and heads; click one to pin it", edgesView(data, store)),
    effects &&
      section(
        "effects",
        "What really happens",
        `Each edge or head taken out alone, and the ${quantity(report)} measured again. On the dotted line the loss equals the score`,
        effects,
      ),
    section(
      "completeness",
      "Completeness",
      `In each layer the scores should add up to what its attention, scaled from its baseline, does to the ${quantity(report)}. What is missing is the gap. Error estimate: how far a coarser rule on the same nodes lies, as a share of the sum of all |scores|`,
      completenessView(data),
    ),
    h(
      "footer",
      {},
      ...report.notes.map((note) => h("p", { class: "warning" }, note)),
      h("p", {}, `attattr ${report.version} · ${report.method}, ${report.baseline} baseline · layers and heads count from 0`),
    ),
  );

  function view(name: string, content: HTMLElement): HTMLElement {
    content.dataset.view = name;
    return content;
  }

  function section(name: string, title: string, about: string, content: HTMLElement): HTMLElement {
    return h("section", { class: "below", "aria-label": title }, heading(title, view(name, content)), h("p", { class: "about" }, `${about}.`), content);
  }

  function heading(title: string | null, of: HTMLElement, ...tools: (HTMLElement | null)[]): HTMLElement {
    return h(
      "div",
      { class: title ? "heading" : "heading bare" },
      title && h("h2", {}, title),
      ...tools,
      saves(of, () => titleOf(of.dataset.view!), () => nameOf(of.dataset.view!)),
    );
  }

  /** What an export is of: model, what is explained, what is shown; the text. */
  function titleOf(view: string): string[] {
    const { name, share } = headline(report);
    const { mode, threshold, shown, count, layer, head } = store.state;
    const flow = flowOf(data, units());
    const graph = { flow: flow ? `edges shown: ${shareSaid(flow, shown)}` : "", tree: `tree above ${plain(threshold, 2)} of each layer’s largest`, edges: `${count} strongest edges` }[mode];
    const part = { graph, tokens: siteName(report, layer), head: `${siteName(report, head[0])}, head ${head[1]}` }[view];
    const texts = report.texts.map((text) => `“${text}”`).join(" / ");
    return [[report.model, `${name} ${share}`.trim(), part].filter(Boolean).join(" · "), texts].filter(Boolean);
  }

  function nameOf(view: string): string {
    const slug = (text: string) => text.normalize("NFKD").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 40);
    return ["attattr", slug(report.model), slug(report.target.label), view === "graph" ? store.state.mode : view].filter(Boolean).join("-");
  }

  function unitChoice(): HTMLElement | null {
    if (!report.words) return null;
    const chooser = choice("Words or tokens", UNITS, store.state.unit, (chosen) => {
      // the same stretch of text, in the other units
      const [from, to] = [units(), data[chosen]];
      const [first, end] = store.state.window;
      const whole = end - first === from.n;
      const place = (unit: number, last: boolean) => to.unitOf[last ? from.members[unit]!.at(-1)! : from.members[unit]![0]!]!;
      const least = Math.ceil(100 * leastThreshold(to)) / 100;
      store.set({
        unit: chosen,
        shown: flowOf(data, to)?.usual ?? 0,
        window: whole ? [0, to.n] : [place(first, false), place(end - 1, true) + 1],
        threshold: Math.max(store.state.threshold, least),
        pinned: null,
      });
    });
    store.on(["unit"], () => chooser.show(store.state.unit));
    return chooser;
  }

  function modeChoice(): HTMLElement | null {
    if (!data.tokens.flow) return null;
    const modes = MODES.filter(([mode]) => mode !== "tree" || hasTree);
    const chooser = choice("What is drawn", modes, store.state.mode, (mode) => store.set({ mode, pinned: null }));
    store.on(["mode"], () => chooser.show(store.state.mode));
    return chooser;
  }

  function lineChoice(): HTMLElement {
    const options = LINES.filter(([name]) => name !== "strongest" || report.edges);
    const chooser = choice("Edges between patches", options, store.state.lines, (lines) => store.set({ lines }));
    store.on(["lines"], () => chooser.show(store.state.lines));
    return chooser;
  }

  function slider(): HTMLElement {
    const value = h("output", {});
    const name = h("span", {});
    const key = () => ({ flow: "shown", tree: "threshold", edges: "count" } as const)[store.state.mode];
    const input = h("input", { type: "range", input: () => store.set({ [key()]: Number(input.value) }) });
    store.on(["mode", "unit", "threshold", "count", "shown"], () => {
      const { state } = store;
      const flow = flowOf(data, units());
      const isTree = state.mode === "tree";
      const least = isTree ? Math.max(0.02, Math.ceil(100 * leastThreshold(units())) / 100) : 1;
      const most = { tree: 0.98, flow: flow?.site.length ?? 1, edges: Math.min(150, report.edges?.site.length ?? 1) }[state.mode];
      Object.assign(input, { min: String(least), max: String(Math.max(least, most)), step: isTree ? "0.01" : "1" });
      input.value = String(state[key()]);
      input.setAttribute("aria-label", isTree ? "Threshold" : "Edges shown");
      name.textContent = isTree ? "threshold" : "edges shown:";
      value.textContent = isTree ? plain(state.threshold, 2) : state.mode === "flow" && flow ? shareSaid(flow, state.shown) : String(state.count);
      value.title = state.mode === "flow" ? "Their share of the sum of |score| over all edges of all layers" : "";
    });
    return h("label", { class: "slider", "data-noexport": true }, name, input, value);
  }

  page.append(sheetView(store, details));
  link(page, data, store);
  root.replaceChildren(page);
  look?.dress(page);
  window.addEventListener("keydown", unpin);
  const leave = inAddress ? keepInAddress(page, fingerprint(data)) : () => {};
  function unpin(event: KeyboardEvent): void {
    if (event.key === "Escape") store.set({ pinned: null, marked: [] });
  }
  return {
    element: page,
    data,
    store,
    leave() {
      leave();
      window.removeEventListener("keydown", unpin);
      look?.leave();
      root.replaceChildren();
    },
  };
}
