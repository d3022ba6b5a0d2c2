// Layers × heads: which head carried how much.
import { select } from "d3-selection";
import type { Data } from "./data";
import { siteName } from "./data";
import { h, roving, textWidth } from "./dom";
import { plain, signed, strength } from "./format";
import { FINGER, fingers } from "./sheet";
import type { State, Store } from "./state";

interface Cell {
  site: number;
  head: number;
}

export function headValue({ report }: Data, measure: State["measure"], site: number, head: number): number | null {
  if (measure === "attribution") return report.sites[site]!.head_sum[head] ?? null;
  if (measure === "attention") return report.sites[site]!.head_attention?.[head] ?? null;
  return report.effects?.heads[site]?.[head] ?? null;
}

export const MEASURES = {
  attribution: "sum of the head’s scores",
  attention: "largest attention weight of a row, on average",
  effect: "what is lost when the head is taken out",
} as const;

export function headView(data: Data, store: Store, open: (site: number, head: number) => void): HTMLElement {
  const { report } = data;
  const frame = h("div", { class: "heads" });
  const svg = select(frame).append("svg").attr("role", "group").attr("aria-label", "Layers by heads");
  const told = h("p", { class: "told", "aria-live": "polite" });
  frame.append(told);
  const cells: Cell[] = report.sites.flatMap((facts, site) =>
    Array.from({ length: facts.n_heads }, (_, head) => ({ site, head })),
  );
  const sites = report.sites.length;
  const most = Math.max(1, ...report.sites.map((facts) => facts.n_heads));

  function draw(): void {
    const width = frame.clientWidth || 360;
    const rows = report.sites.map((_, site) => siteName(report, site).replace("layer ", ""));
    const left = 10 + Math.max(16, ...rows.map((name) => textWidth(name, 11)));
    const top = 16;
    const least = fingers() ? FINGER : 0;
    const step = Math.max(least, Math.min(44, (width - left) / most));
    const high = Math.max(7, least, Math.min(step, 24, 250 / sites));
    const { measure } = store.state;
    const values = cells.map(({ site, head }) => headValue(data, measure, site, head));
    const largest = Math.max(store.state.scale?.[measure] ?? 0, ...values.map((value) => Math.abs(value ?? 0)));
    const y = (site: number) => top + (sites - 1 - site) * high;
    const height = top + sites * high + 4;
    const whole = Math.max(width, left + most * step);
    svg.attr("width", whole).attr("height", height).attr("viewBox", `0 0 ${whole} ${height}`);
    const every = Math.ceil(16 / step);
    svg
      .selectAll("text.head")
      .data(Array.from({ length: most }, (_, head) => head).filter((head) => head % every === 0))
      .join("text")
      .attr("class", "head")
      .attr("x", (head) => left + (head + 0.5) * step)
      .attr("y", top - 6)
      .text(String);
    const everySite = Math.ceil(11 / high);
    svg
      .selectAll("text.site")
      .data(report.sites.map((_, site) => site).filter((site) => site % everySite === 0))
      .join("text")
      .attr("class", "site")
      .attr("x", left - 6)
      .attr("y", (site) => y(site) + high / 2)
      .attr("dy", "0.34em")
      .text((site) => rows[site]!);
    const groups = svg
      .selectAll<SVGGElement, Cell>("g.cell")
      .data(cells)
      .join((enter) => {
        const group = enter.append("g").attr("class", "cell").attr("role", "button");
        group.append("rect").attr("class", "back");
        group.append("rect").attr("class", "fill");
        group.append("path").attr("class", "sign");
        return group
          .on("pointerenter focus", (_, cell) => tell(cell))
          .on("pointerleave blur", () => tell(null))
          .on("click", (_, { site, head }) => open(site, head));
      })
      .attr("transform", ({ site, head }) => `translate(${left + head * step},${y(site)})`)
      .attr("aria-label", (cell, i) => `${siteName(report, cell.site)}, head ${cell.head}: ${said(values[i]!)}`)
      .classed("minus", (_, i) => (values[i] ?? 0) < 0)
      .classed("grey", measure === "attention");
    groups.selectAll("rect").attr("width", step - 1.5).attr("height", high - 1.5).attr("rx", 2);
    groups.select("rect.fill").attr("fill-opacity", (_, i) => strength(values[i] ?? 0, largest).toFixed(3));
    groups
      .select("path.sign") // a minus, so that the sign survives grey printing
      .attr("d", (_, i) =>
        (values[i] ?? 0) < 0 && strength(values[i]!, largest) > 0.12
          ? `M${step / 2 - 3.75},${high / 2 - 0.75}h6`
          : "",
      );
    paint();
  }

  function said(value: number | null): string {
    return store.state.measure === "attention" ? plain(value) : signed(value);
  }

  function tell(cell: Cell | null): void {
    if (!cell) {
      told.textContent = `${MEASURES[store.state.measure]}; click for its matrix`;
      return;
    }
    const parts = [`${siteName(report, cell.site)}, head ${cell.head}:`, `score ${signed(headValue(data, "attribution", cell.site, cell.head))}`];
    const attention = headValue(data, "attention", cell.site, cell.head);
    if (attention !== null) parts.push(`· attention ${plain(attention)}`);
    const effect = headValue(data, "effect", cell.site, cell.head);
    if (effect !== null) parts.push(`· taken out ${signed(effect)}`);
    told.textContent = parts.join(" ");
  }

  function paint(): void {
    const { head, hover, pinned } = store.state;
    const lit = hover ?? pinned;
    svg
      .selectAll<SVGGElement, Cell>("g.cell")
      .classed("chosen", (cell) => cell.site === head[0] && cell.head === head[1])
      .classed("row", (cell) => !!lit && cell.site === lit.site && (lit.head === null || lit.head === cell.head))
      .attr("tabindex", (cell) => (cell.site === head[0] && cell.head === head[1] ? 0 : -1));
  }

  roving(svg.node()!, "g.cell", (marks, at, key) => {
    const cell = cells[at]!;
    const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [1, 0], ArrowDown: [-1, 0] }[key];
    if (!move || marks.length !== cells.length) return null;
    const to = cells.findIndex((each) => each.site === cell.site + move[0]! && each.head === cell.head + move[1]!);
    return to < 0 ? at : to;
  });
  store.on(["measure", "theme", "scale"], () => {
    draw();
    tell(null);
  });
  store.on(["head", "hover", "pinned"], paint);
  new ResizeObserver(draw).observe(frame);
  return frame;
}
