// What was predicted, what is explained, and in one sentence why.
import type { Data, Units } from "./data";
import { siteName } from "./data";
import { h } from "./dom";
import { percent, plain, signed } from "./format";

const SHOWN = 5;

export function predictionView({ report }: Data): HTMLElement {
  const { target, prediction, predicted } = report;
  const first = prediction[0];
  const noun = { class: "class", token: "next token" }[target.kind] ?? target.kind;
  const why = target.predicted
    ? `Why “${target.label}”? Explained: its ${target.output}, ${plain(target.value, 4)}.`
    : `Explained: the ${target.output} of the ${noun} “${target.label}”, ${plain(target.value, 4)}.`;
  return h(
    "div",
    { class: "prediction" },
    h("h1", {}, h("bdi", {}, predicted), " ", h("span", { class: "share" }, percent(first ? first.value : null))),
    h(
      "ul",
      { class: "classes", "aria-label": "Probabilities" },
      ...prediction.slice(0, SHOWN).map(({ label, value }) => {
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
    h("p", { class: "explained" }, why),
  );
}

/** The strongest words and the strongest edge, in words. */
export function summaryView(data: Data, level: Units): HTMLElement {
  const { report } = data;
  const line = h("p", { class: "summary" });
  const values = level.contributions;
  if (values) {
    const order = values.map((_, unit) => unit).filter((unit) => !level.special[unit] && /[\p{L}\p{N}]/u.test(level.names[unit]!));
    order.sort((a, b) => values[b]! - values[a]!);
    const largest = Math.max(0, ...values.map(Math.abs));
    const worth = (unit: number) => Math.abs(values[unit]!) > 0.1 * largest;
    const helped = order.filter((unit) => values[unit]! > 0 && worth(unit)).slice(0, 4);
    const against = order.filter((unit) => values[unit]! < 0 && worth(unit)).slice(-2).reverse();
    line.append("Carried most by ", ...listed(level, values, helped));
    if (against.length) line.append("; held back by ", ...listed(level, values, against));
    line.append(". ");
  }
  const { edges } = report;
  if (edges?.site.length) {
    const facts = report.sites[edges.site[0]!]!;
    line.append(
      "Strongest edge: ",
      h("b", {}, h("bdi", {}, data.name(facts.query_axis, edges.query[0]!))),
      " attends to ",
      h("b", {}, h("bdi", {}, data.name(facts.key_axis, edges.key[0]!))),
      ` in ${siteName(report, edges.site[0]!)}, head ${edges.head[0]} `,
      number(edges.score[0]!),
      ".",
    );
  }
  return line;
}

function listed(level: Units, values: number[], chosen: number[]): (Node | string)[] {
  if (!chosen.length) return ["none in particular"];
  return chosen.flatMap((unit, k) => [
    k ? ", " : "",
    h("b", {}, h("bdi", {}, level.names[unit]!)),
    " ",
    number(values[unit]!),
  ]);
}

function number(value: number): HTMLElement {
  return h("span", { class: value < 0 ? "number minus" : "number plus" }, signed(value, 2));
}
