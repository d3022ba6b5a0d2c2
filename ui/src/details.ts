// Beside the tree: the edge that is pointed at or pinned; else how to read the page.
import { unsure } from "./completeness";
import type { Data } from "./data";
import { siteName } from "./data";
import { h } from "./dom";
import { apart, flowOf } from "./flow";
import { count, plain, quantity, signed } from "./format";
import { type EdgeRef, sameEdge, type Store } from "./state";

const SHOWN = 6;

export function detailsView(data: Data, store: Store, open: (site: number, head: number) => void): HTMLElement {
  const { report } = data;
  const frame = h("div", { class: "details", "aria-live": "polite" });
  const guide = guideView(data);
  let turn = 0;

  async function draw(): Promise<void> {
    const mine = ++turn;
    const edge = store.state.hover ?? store.state.pinned;
    if (!edge) {
      frame.replaceChildren(guide);
      return;
    }
    const facts = report.sites[edge.site]!;
    const shares = await data.shares(edge);
    if (mine !== turn) return;
    const named = (axis: number, positions: number[]) => positions.map((position) => data.name(axis, position)).join("");
    const rows = edge.head === null ? shares.filter(({ score }) => Math.abs(score) > 0.03 * Math.abs(shares[0]!.score)).slice(0, SHOWN) : shares.filter(({ head }) => head === edge.head);
    const total = data.exact(edge) ?? (edge.head === null ? shares.reduce((all, { score }) => all + score, 0) : rows[0]!.score);
    const largest = Math.max(0, ...shares.map(({ score }) => Math.abs(score)));
    const effect = effectOf(edge);
    const aside = store.state.mode === "flow" ? whyApart(edge) : null;
    frame.replaceChildren(
      h("h2", {}, h("bdi", {}, named(facts.query_axis, edge.query)), h("span", { class: "to" }, " attends to "), h("bdi", {}, named(facts.key_axis, edge.key))),
      h(
        "p",
        { class: "facts" },
        h("b", { class: `number ${total < 0 ? "minus" : "plus"}` }, `${data.exact(edge) === null ? "≈ " : ""}${signed(total)}`),
        ` of the ${quantity(report)}, in ${siteName(report, edge.site)}${edge.head === null ? ", all heads" : `, head ${edge.head}`}`,
        effect === null ? null : `; taken out alone, it ${effect < 0 ? "rises" : "falls"} by ${plain(Math.abs(effect))}`,
      ),
      ...(aside ? [h("p", { class: "note" }, aside)] : []),
      h(
        "table",
        { class: "shares" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "head"), h("th", { scope: "col" }, "score"), h("th", { scope: "col" }, "attention"))),
        h(
          "tbody",
          {},
          ...rows.map(({ head, score, attention, exact }) => {
            const bar = h("span", { class: score < 0 ? "meter minus" : "meter" });
            bar.style.setProperty("--w", `${(90 * Math.abs(score)) / (largest || 1)}px`);
            return h(
              "tr",
              {},
              h("td", {}, h("button", { type: "button", click: () => open(edge.site, head) }, String(head))),
              h("td", { class: "number" }, bar, `${exact ? "" : "≈ "}${signed(score)}`),
              h("td", { class: "number" }, `${exact ? "" : "≈ "}${plain(attention)}`),
            );
          }),
        ),
      ),
      h(
        "div",
        { class: "acts" },
        h("button", { type: "button", class: "takes-out", click: () => takeOut(edge) }, "Take out"),
        sameEdge(edge, store.state.pinned)
          ? h("button", { type: "button", class: "quiet", click: () => store.set({ pinned: null }) }, "Unpin")
          : h("p", { class: "note" }, "Click the edge to keep it here."),
      ),
    );
  }

  /** Asks the page around the report, which has the model; it marks the report with `takes-out` if it can. */
  function takeOut(edge: EdgeRef): void {
    frame.dispatchEvent(new CustomEvent("attattr-takeout", { detail: edge, bubbles: true }));
  }

  function whyApart({ site, head, query, key }: EdgeRef): string | null {
    const flow = flowOf(data, store.state.unit === "words" ? data.words : data.tokens);
    if (!flow || head !== null) return null;
    const { query_axis, key_axis } = report.sites[site]!;
    const e = flow.site.findIndex(
      (of, n) => of === site && `${flow.axes[query_axis]!.members[flow.query[n]!]}>${flow.axes[key_axis]!.members[flow.key[n]!]}` === `${query}>${key}`,
    );
    return e < 0 || e >= store.state.shown ? null : apart(flow, e, store.state.shown);
  }

  function effectOf(edge: EdgeRef): number | null {
    const { edges, effects } = report;
    if (!edges || !effects) return null;
    const e = edges.site.findIndex(
      (site, n) => site === edge.site && edges.head[n] === edge.head && edges.query[n] === edge.query[0] && edges.key[n] === edge.key[0],
    );
    return e < 0 ? null : (effects.edges[e] ?? null);
  }

  store.on(["hover", "pinned", "shown", "mode"], () => void draw());
  return frame;
}

function guideView({ report }: Data): HTMLElement {
  const worst = Math.max(0, ...report.sites.map((site) => Math.abs(site.gap ?? 0)));
  const bad = report.sites.filter(unsure).length;
  const sums = report.sites.some((site) => site.method === "gradient")
    ? "A first look, gradient × attention, need not add up to anything."
    : "In every layer the scores add up to what its attention, as a whole, did.";
  const unit = report.picture ? "patch" : "token";
  const swatch = (kind: string) => h("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
  return h(
    "div",
    { class: "guide" },
    h("h2", {}, "How to read this"),
    h(
      "p",
      {},
      `A score is how much of the ${quantity(report)} of “`,
      h("bdi", {}, report.target.label),
      `” one ${unit}’s attention to another carries. ${sums}`,
    ),
    h("p", { class: "hues" }, swatch("plus"), "for it ", swatch("minus"), "against it; width is the score."),
    h(
      "p",
      {},
      `The flow graph draws the strongest edges of all layers, from the ${report.picture ? "patches" : "words"} below up to the prediction; what they do not link to it is pale. The bar at a layer’s name runs from the ${quantity(report)} without its attention to the real one.`,
    ),
    h("p", {}, `No layer’s sum is off by more than ${plain(worst)}${bad ? `; ${count(bad, "layer")} did not converge` : ""}.`),
  );
}
