// What really happens: the score of an edge or head beside what is lost when it is taken out.
import { scaleLinear } from "d3-scale";
import { select } from "d3-selection";
import type { Data } from "./data";
import { siteName } from "./data";
import { clipped, h, roving, textWidth } from "./dom";
import { plain, quantity, signed } from "./format";
import type { EdgeRef, Store } from "./state";

interface Point {
  score: number;
  effect: number;
  name: string;
  where: string;
  ref: EdgeRef | null;
  head: readonly [number, number];
}

export function effectsView(data: Data, store: Store): HTMLElement | null {
  const { report } = data;
  const { effects, edges } = report;
  if (!effects) return null;
  const ofEdges: Point[] = effects.edges.flatMap((effect, e) => {
    if (effect === null || !edges || e >= edges.site.length) return [];
    const [site, head] = [edges.site[e]!, edges.head[e]!];
    const facts = report.sites[site]!;
    return {
      score: edges.score[e]!,
      effect,
      name: `${data.name(facts.query_axis, edges.query[e]!)} → ${data.name(facts.key_axis, edges.key[e]!)}`,
      where: `${siteName(report, site)}, head ${head}`,
      ref: { site, head, query: [edges.query[e]!], key: [edges.key[e]!] },
      head: [site, head] as const,
    };
  });
  const ofHeads: Point[] = effects.heads.flatMap((row, site) =>
    row.flatMap((effect, head) =>
      effect === null
        ? []
        : {
            score: report.sites[site]!.head_sum[head]!,
            effect,
            name: `${siteName(report, site)}, head ${head}`,
            where: "",
            ref: null,
            head: [site, head] as const,
          },
    ),
  );
  return h(
    "div",
    { class: "scatters" },
    scatter(`The ${ofEdges.length} strongest edges`, ofEdges, store, quantity(report)),
    scatter(`All ${ofHeads.length} heads`, ofHeads, store, quantity(report)),
  );
}

/** Pearson's r. */
export function correlation(points: { score: number; effect: number }[]): number {
  const mean = (of: (p: { score: number; effect: number }) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean((p) => p.score), mean((p) => p.effect)];
  let [xx, yy, xy] = [0, 0, 0];
  for (const { score, effect } of points) {
    xx += (score - x) ** 2;
    yy += (effect - y) ** 2;
    xy += (score - x) * (effect - y);
  }
  return xy / Math.sqrt(xx * yy);
}

function scatter(title: string, points: Point[], store: Store, noun: string): HTMLElement {
  const told = h("p", { class: "told", "aria-live": "polite" });
  const frame = h("figure", { class: "scatter" }, h("figcaption", {}, title));
  const r = correlation(points);
  const usual = Number.isNaN(r) ? "" : `Correlation ${plain(r, 2)}.`;
  const svg = select(frame).append("svg").attr("role", "group").attr("aria-label", `${title}: score and measured effect`);
  frame.append(told);
  told.textContent = usual;

  function draw(): void {
    const width = frame.clientWidth || 560;
    const height = 330;
    const [left, right, top, bottom] = [62, 16, 12, 40];
    const range = (of: number[]) => [Math.min(0, ...of), Math.max(0, ...of)] as [number, number];
    const x = scaleLinear(range(points.map((p) => p.score)), [left, width - right]).nice();
    const y = scaleLinear(range(points.map((p) => p.effect)), [height - bottom, top]).nice();
    svg.attr("width", width).attr("height", height).attr("viewBox", `0 0 ${width} ${height}`).selectAll("*").remove();
    const number = (value: number) => plain(value, 6).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
    for (const tick of x.ticks(6)) {
      svg.append("line").attr("class", tick ? "grid" : "zero").attr("x1", x(tick)).attr("x2", x(tick)).attr("y1", top).attr("y2", height - bottom);
      svg.append("text").attr("class", "tick").attr("x", x(tick)).attr("y", height - bottom + 16).attr("text-anchor", "middle").text(number(tick));
    }
    for (const tick of y.ticks(6)) {
      svg.append("line").attr("class", tick ? "grid" : "zero").attr("x1", left).attr("x2", width - right).attr("y1", y(tick)).attr("y2", y(tick));
      svg.append("text").attr("class", "tick").attr("x", left - 8).attr("y", y(tick)).attr("dy", "0.34em").attr("text-anchor", "end").text(number(tick));
    }
    svg.append("text").attr("class", "axis").attr("x", width - right).attr("y", height - 4).attr("text-anchor", "end").text("score →");
    svg.append("text").attr("class", "axis").attr("transform", `translate(12,${top})rotate(-90)`).attr("text-anchor", "end").text(`${noun} lost when taken out →`);
    const low = Math.max(x.domain()[0]!, y.domain()[0]!);
    const high = Math.min(x.domain()[1]!, y.domain()[1]!);
    svg.append("line").attr("class", "same").attr("x1", x(low)).attr("y1", y(low)).attr("x2", x(high)).attr("y2", y(high));

    const marks = svg
      .selectAll<SVGPathElement, Point>("path.point")
      .data(points)
      .join("path")
      .attr("class", (p) => (p.score < 0 ? "point minus" : "point"))
      .attr("transform", (p) => `translate(${x(p.score)},${y(p.effect)})`)
      .attr("d", (p) => (p.score < 0 ? "M-5,0L0,-5L5,0L0,5Z" : "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0"))
      .attr("role", "img")
      .attr("tabindex", (_, i) => (i ? -1 : 0))
      .attr("aria-label", (p) => said(p));
    marks
      .on("pointerenter focus", (_, p) => {
        told.textContent = said(p);
        if (p.ref) store.set({ hover: p.ref });
      })
      .on("pointerleave blur", () => {
        told.textContent = usual;
        store.set({ hover: null });
      })
      .on("click", (_, p) => store.set({ head: p.head, ...(p.ref ? { pinned: p.ref } : {}) }));

    // names of those that stand out, where there is room
    const placed: [number, number, number][] = [];
    const ranked = [...points].sort((a, b) => Math.hypot(b.score, b.effect) - Math.hypot(a.score, a.effect));
    const once = new Map(ranked.map((point) => [point.name, point] as const).reverse()); // of one name the first
    for (const point of ranked.filter((each) => once.get(each.name) === each).slice(0, 8)) {
      const [px, py] = [x(point.score), y(point.effect)];
      const text = clipped(point.name, 150, 12);
      const wide = textWidth(text, 12);
      const start = px > width / 2 ? px - 9 - wide : px + 9;
      if (placed.some(([from, to, line]) => start < to + 4 && start + wide > from - 4 && Math.abs(line - py) < 15)) continue;
      placed.push([start, start + wide, py]);
      svg.append("text").attr("class", "name").attr("x", start).attr("y", py).attr("dy", "0.34em").text(text);
    }
  }

  function said({ name, where, score, effect }: Point): string {
    return `${name}${where ? `, ${where}` : ""}: score ${signed(score)}, taken out ${signed(effect)}`;
  }

  roving(svg.node()!, "path.point");
  store.on(["theme"], draw);
  new ResizeObserver(draw).observe(frame);
  return frame;
}
