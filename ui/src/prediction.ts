// What is explained and how likely it is; what was predicted; and in two sentences why.
import type { Data, Units } from "./data";
import { effectsOf, siteName } from "./data";
import { h } from "./dom";
import { flowOf } from "./flow";
import { percent, plain, quantity, signed } from "./format";
import type { Store } from "./state";
import type { Report } from "./types";

const SHOWN = 5;
const QUOTED = ["token", "continuation", "mask", "start", "end", "span"];

/** What stands as the headline: a name and how much; whatever has no probability has its value. */
export function headline({ target, prediction, predicted }: Report): { name: string; share: string; instead: string | null } {
  const quoted = QUOTED.includes(target.kind);
  const text = (label: string) => (quoted ? `“${label.trim() || label}”` : label);
  const isNumber = target.kind === "value" && target.predicted; // which names itself
  const share = target.probability !== null ? percent(target.probability) : isNumber || target.value === null ? "" : plain(target.value);
  const first = prediction[0];
  const other = { token: "likeliest next token", continuation: "likeliest next token", mask: "likeliest" }[target.kind] ?? "not predicted";
  const instead = target.predicted || !first ? null : `${other}: ${text(predicted)} ${percent(first.value)}`;
  return { name: isNumber ? predicted : text(target.label), share, instead };
}

export function predictionView({ report }: Data): HTMLElement {
  const { target, prediction } = report;
  const { name, share, instead } = headline(report);
  const why = `Explained: its ${quantity(report)}${target.output === "probability" || share === plain(target.value) ? "" : `, ${plain(target.value)}`}.`;
  const rest = prediction.filter(({ label }) => label !== target.label);
  const own = prediction.filter(({ label }) => label === target.label);
  const listed = [...own, ...rest.slice(0, SHOWN - own.length)].sort((a, b) => (b.value ?? 0) - (a.value ?? 0));
  return h(
    "div",
    { class: "prediction" },
    h(
      "div",
      {},
      h("h1", { class: name.length > 60 ? "long" : null }, h("bdi", {}, name), share && " ", share && h("span", { class: "share" }, share)),
      h("p", { class: "explained" }, instead && h("bdi", { class: "instead" }, instead), instead && ". ", why),
    ),
    listed.length > 0 &&
      h(
        "ul",
        { class: "classes", "aria-label": "Probabilities" },
        ...listed.map(({ label, value }) => {
          const bar = h("span", { class: "bar" }, h("span", {}));
          (bar.firstChild as HTMLElement).style.width = `${100 * (value ?? 0)}%`;
          return h(
            "li",
            { class: label === target.label ? "target" : null },
            h("span", { class: "label" }, h("bdi", {}, label)),
            bar,
            h("span", { class: "number" }, percent(value)),
          );
        }),
      ),
  );
}

/** What the colours of the text say, with the layer to choose; and the strongest edge. */
export function summaryView(data: Data, store: Store, units: () => Units): HTMLElement {
  const { report } = data;
  const line = h("p", { class: "summary" });
  const layers = report.sites.flatMap((site, n) => (site.key_sum ? n : []));
  const layer = h(
    "select",
    { "aria-label": "Layer that colours the text", change: () => store.set({ layer: Number(layer.value) }) },
    ...layers.map((n) => h("option", { value: n }, siteName(report, n))),
  );

  function draw(): void {
    const site = store.state.layer;
    const level = units();
    const facts = report.sites[site];
    line.replaceChildren();
    if (facts?.key_sum) {
      layer.value = String(site);
      const values = effectsOf(report, site, level);
      line.append("Colour: what attending to each gave in ", layer, ", which together is ", number(facts.total ?? 0), ` of the ${quantity(report)}. `);
      if (values) line.append(...most(level, values));
    }
    const flow = flowOf(data, level);
    if (flow?.site.length) {
      const { query_axis, key_axis } = report.sites[flow.site[0]!]!;
      const name = (axis: number, unit: number) => h("b", {}, h("bdi", {}, flow.axes[axis]!.names[unit]!));
      line.append("Strongest edge: ", name(query_axis, flow.query[0]!), " attends to ", name(key_axis, flow.key[0]!), ` in ${siteName(report, flow.site[0]!)}, `, number(flow.score[0]!), ".");
    }
  }

  store.on(["unit", "layer"], draw);
  return line;
}

/** The strongest words for it and against it. */
function most(level: Units, values: number[]): (Node | string)[] {
  const order = values.map((_, unit) => unit).filter((unit) => !level.special[unit] && /[\p{L}\p{N}]/u.test(level.names[unit]!));
  order.sort((a, b) => values[b]! - values[a]!);
  const largest = Math.max(0, ...values.map(Math.abs));
  const worth = (unit: number) => Math.abs(values[unit]!) > 0.1 * largest;
  const helped = order.filter((unit) => values[unit]! > 0 && worth(unit)).slice(0, 4);
  const against = order.filter((unit) => values[unit]! < 0 && worth(unit)).slice(-2).reverse();
  const listed = (chosen: number[]) =>
    chosen.flatMap((unit, k) => [k ? ", " : "", h("b", {}, h("bdi", {}, level.names[unit]!)), " ", number(values[unit]!)]);
  return [
    ...(helped.length ? ["Most from ", ...listed(helped)] : []),
    ...(against.length ? [helped.length ? "; against it " : "Against it ", ...listed(against)] : []),
    helped.length || against.length ? ". " : "",
  ];
}

function number(value: number): HTMLElement {
  return h("span", { class: value < 0 ? "number minus" : "number plus" }, signed(value));
}
