// Beside the tree: the edge that is pointed at or pinned; else how to read the page.
import type { Data } from "./data";
import { siteName } from "./data";
import { h } from "./dom";
import { plain, signed, tiny } from "./format";
import type { EdgeRef, Store } from "./state";

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
    const total = edge.head === null ? sum(edge, shares.reduce((all, { score }) => all + score, 0)) : rows[0]!.score;
    const largest = Math.max(0, ...shares.map(({ score }) => Math.abs(score)));
    const effect = effectOf(edge);
    frame.replaceChildren(
      h("h2", {}, h("bdi", {}, named(facts.query_axis, edge.query)), h("span", { class: "to" }, " attends to "), h("bdi", {}, named(facts.key_axis, edge.key))),
      h(
        "p",
        { class: "facts" },
        h("b", { class: `number ${total < 0 ? "minus" : "plus"}` }, signed(total, 4)),
        ` of the ${report.target.output}, in ${siteName(report, edge.site)}${edge.head === null ? ", all heads" : `, head ${edge.head}`}`,
        effect === null ? null : `; taken out, F loses ${signed(effect, 4)}`,
      ),
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
              h("td", { class: "number" }, plain(attention, 2)),
            );
          }),
        ),
      ),
      store.state.pinned && !store.state.hover
        ? h("button", { type: "button", class: "quiet", click: () => store.set({ pinned: null }) }, "Unpin")
        : h("p", { class: "note" }, "Click the edge to keep it here."),
    );
  }

  /** The exact sum of the heads where the tree's matrices hold it. */
  function sum(edge: EdgeRef, otherwise: number): number {
    for (const level of [data.tokens, data.words]) {
      const layer = level.layers.find(({ site }) => site === edge.site);
      const [query, key] = [level.unitOf[edge.query[0]!], level.unitOf[edge.key[0]!]];
      if (!layer || query === undefined || key === undefined) continue;
      if (`${level.members[query]}>${level.members[key]}` !== `${edge.query}>${edge.key}`) continue;
      const at = layer.index.indexOf(query * level.n + key);
      if (at >= 0) return layer.score[at]!;
    }
    return otherwise;
  }

  function effectOf(edge: EdgeRef): number | null {
    const { edges, effects } = report;
    if (!edges || !effects) return null;
    const e = edges.site.findIndex(
      (site, n) => site === edge.site && edges.head[n] === edge.head && edges.query[n] === edge.query[0] && edges.key[n] === edge.key[0],
    );
    return e < 0 ? null : (effects.edges[e] ?? null);
  }

  store.on(["hover", "pinned"], () => void draw());
  return frame;
}

function guideView({ report }: Data): HTMLElement {
  const worst = Math.max(0, ...report.sites.map((site) => Math.abs(site.gap ?? 0)));
  const unsure = report.sites.filter((site) => !site.converged).length;
  const unit = report.picture ? "patch" : "token";
  const swatch = (kind: string) => h("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
  return h(
    "div",
    { class: "guide" },
    h("h2", {}, "How to read this"),
    h(
      "p",
      {},
      `A score is how much of F, the ${report.target.output} of “`,
      h("bdi", {}, report.target.label),
      `”, one ${unit}’s attention to another carries. In every layer the scores add up to what its attention, as a whole, did to F.`,
    ),
    h("p", { class: "hues" }, swatch("plus"), "for it ", swatch("minus"), "against it; stronger is wider and fuller."),
    h(
      "p",
      {},
      `The tree keeps, layer by layer, what is above the threshold × the layer’s largest score, and follows it down to the ${report.picture ? "patches" : "words"}. At its top: what the prediction is read from in the last layer.`,
    ),
    h("p", {}, `Largest gap of a layer’s sum: ${tiny(worst)}${unsure ? `; ${unsure} layers did not converge` : ""}.`),
  );
}
