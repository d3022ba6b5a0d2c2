// How exact the scores are: per layer, their sum beside what the layer's attention did.
import type { Data } from "./data";
import { siteName } from "./data";
import { h } from "./dom";
import { plain, quantity, share, signed, tiny } from "./format";
import type { SiteFacts } from "./types";

/** Whether an integral did not converge: a first look is none. */
export function unsure(site: SiteFacts): boolean {
  return site.method === "integral" && !site.converged;
}

export function completenessView({ report }: Data): HTMLElement {
  const columns = ["layer", "module", `${quantity(report)} without its attention`, "change by it", "sum of scores", "gap", "error estimate", "nodes", ""];
  return h(
    "table",
    { class: "completeness" },
    h("thead", {}, h("tr", {}, ...columns.map((name, k) => h("th", { scope: "col", class: k > 1 ? "number" : null }, name)))),
    h(
      "tbody",
      {},
      ...report.sites.map((site, number) =>
        h(
          "tr",
          { class: unsure(site) ? "unsure" : "" },
          h("td", {}, siteName(report, number)),
          h("td", {}, h("bdi", {}, site.name)),
          h("td", { class: "number" }, plain(site.baseline_output)),
          h("td", { class: "number" }, signed(site.change)),
          h("td", { class: "number" }, signed(site.total)),
          h("td", { class: "number" }, tiny(site.gap)),
          h("td", { class: "number" }, share(site.error)),
          h("td", { class: "number" }, String(site.n_steps)),
          h("td", {}, unsure(site) ? "not converged" : site.method === "gradient" ? "first look" : "converged"),
        ),
      ),
    ),
  );
}
