// Draws what a scene says: tokens across, layers up, edges on one absolute scale. An edge runs from the query, above, to the key.
import { select } from "d3-selection";
import { linkVertical } from "d3-shape";
import { aimed } from "./aim";
import { type Band, bandWidth, drawBands } from "./bands";
import { type Columns, columns } from "./columns";
import type { Data, Units } from "./data";
import { siteName } from "./data";
import { along, clipped, h, roving, textWidth } from "./dom";
import { count, plain, quantity, signed } from "./format";
import { covers, type EdgeRef, inWindow, type Scale, sameEdge, type Store } from "./state";

const WIDE = 30; // pixels that an edge of width 1 takes
const THIN = 0.75; // and at least

export interface Spot {
  column: number;
  row: number;
}

export interface Column {
  axis: number; // -1: between two axes
  name: string;
  members: number[];
}

export interface Mark {
  ref: EdgeRef;
  from: Spot;
  to: Spot;
  score: number;
  /** of the scale, from 0 (a hairline) to 1 */
  width: number;
  /** why it is drawn pale */
  apart: string | null;
  /** it begins at the prediction */
  reads: boolean;
}

export interface Scene {
  said: string;
  empty: string;
  columns: Column[];
  rows: number;
  /** the layers, each in the middle of its row */
  bands: Band[];
  marks: Mark[];
  /** what stays what it is: from row to row in a column */
  lives: { column: number; from: number; to: number; soft: boolean }[];
  nodes: { spot: Spot; soft: boolean; top: boolean }[];
  /** where the prediction is read */
  root: { name: string; ends: Spot[] } | null;
  scale: number;
  unit: number;
}

/** Width in pixels: in proportion to the score, for all views alike. */
export const thickness = (width: number) => (width ? Math.max(THIN, WIDE * width) : THIN);

/** A scene on the scale that it has in common with another report. */
function onScale(scene: Scene, common: Scale | null): Scene {
  if (!common?.flow) return scene;
  const { flow: scale, unit } = common;
  return { ...scene, scale, unit, marks: scene.marks.map((mark) => ({ ...mark, width: (mark.width * scene.scale) / scale })) };
}

const curve = linkVertical<unknown, readonly [number, number]>();

export function graphView(data: Data, store: Store, units: () => Units, sceneOf: () => Scene): HTMLElement {
  const { report } = data;
  const canvas = h("div", { class: "canvas" });
  const legend = h("p", { class: "legend" });
  const frame = h("div", { class: "graph" }, canvas, legend);
  const svg = select(canvas).append("svg").attr("role", "group");
  const ground = svg.append("g").attr("class", "ground").attr("aria-hidden", "true");
  const edgeLayer = svg.append("g").attr("class", "edges").attr("role", "group").attr("aria-label", "Edges");
  const front = svg.append("g").attr("class", "front").attr("aria-hidden", "true");
  let columnOf = new Map<string, number>(); // of "axis,position"

  function label({ ref, score, apart }: Mark, scene: Scene, { from, to }: Mark): string {
    const where = `${siteName(report, ref.site)}${ref.head === null ? "" : `, head ${ref.head}`}`;
    const name = `${where}: ${scene.columns[from.column]!.name} attends to ${scene.columns[to.column]!.name}, score ${signed(score)}`;
    return apart ? `${name}. ${apart}` : name;
  }

  const meant = (event: MouseEvent) => select(aimed(event)).datum() as Mark;

  function draw(): void {
    const scene = onScale(sceneOf(), store.state.scale);
    const level = units();
    const width = canvas.clientWidth || 900;
    const height = canvas.clientHeight || 520;
    columnOf = new Map(scene.columns.flatMap(({ axis, members }, k) => members.map((i) => [`${axis},${i}`, k] as const)));
    const isIn = scene.columns.map(({ axis, members }) => axis !== 0 || inWindow(store.state, level.unitOf, members[0]!));
    const inside = ({ column }: Spot) => isIn[column]!;
    const weight = new Map<number, number>();
    const touch = ({ column }: Spot, by: number) => weight.set(column, Math.max(weight.get(column) ?? 0, by));
    for (const { from, to, score } of scene.marks) [from, to].forEach((spot) => touch(spot, Math.abs(score)));
    for (const { spot } of scene.nodes) touch(spot, 1e-9);
    for (const { column } of scene.lives) touch({ column, row: 0 }, 1e-9);

    const names = scene.bands.map(({ site }) => siteName(report, site));
    const bars = width > 560 && report.sites.every((site) => site.baseline_output !== null);
    const left = 22 + bandWidth(names, bars);
    const shown = scene.columns.map((_, k) => k).filter((k) => isIn[k]);
    const cols = columns(scene.columns.map(({ name }) => name), shown, (k) => weight.get(k) ?? 0, left, width - 16);
    const top = scene.root ? 42 : 16;
    const bottom = height - cols.height - 6;
    const y = (row: number) => bottom - ((bottom - top) * row) / Math.max(1, scene.rows);

    // an edge that leaves the window fades to its margin; one that never enters it is only counted
    const visible = scene.marks.filter((mark) => inside(mark.to) || (inside(mark.from) && !mark.reads));
    const hidden = scene.marks.length - visible.length;
    const most = Math.min(width - 16, cols.x(shown.at(-1) ?? 0) + 60);

    svg.attr("width", width).attr("height", height).attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label", scene.said);
    ground
      .selectAll("line.layer")
      .data(Array.from({ length: scene.rows + 1 }, (_, row) => row))
      .join("line")
      .attr("class", "layer")
      .attr("x1", left - 8)
      .attr("x2", width - 12)
      .attr("y1", y)
      .attr("y2", y);
    drawBands(ground, report, scene.bands, names, bars, y);
    ground
      .selectAll("line.life")
      .data(scene.lives.filter(inside as never))
      .join("line")
      .attr("class", "life")
      .classed("read", ({ soft }) => soft)
      .attr("x1", ({ column }) => cols.x(column))
      .attr("x2", ({ column }) => cols.x(column))
      .attr("y1", ({ from }) => y(from))
      .attr("y2", ({ to }) => y(to));

    // the prediction stands over where it is read, or where what it reads balances
    const name = scene.root ? clipped(scene.root.name, width - left - 24, 14, 600) : "";
    const half = textWidth(name, 14, 600) / 2 + 4;
    const reads = scene.marks.filter((mark) => mark.reads);
    const pull = reads.reduce((sum, { score }) => sum + score, 0);
    const ends = scene.root?.ends.filter(inside) ?? [];
    const middle = reads.length
      ? reads.reduce((sum, { to, score }) => sum + (cols.x(to.column) * score) / pull, 0)
      : ends.reduce((sum, { column }) => sum + cols.x(column) / ends.length, 0) || (left + most) / 2;
    const at = Math.max(left + half, Math.min(width - 16 - half, middle));
    ground
      .selectAll("path.root")
      .data(reads.length ? [] : ends)
      .join("path")
      .attr("class", "life root")
      .attr("d", ({ column, row }) => curve({ source: [at, 24], target: [cols.x(column), y(row)] })!);

    // edges
    const focused = document.activeElement?.closest?.(".graph g.edge") ? document.activeElement : null;
    const keep = focused ? (select(focused).datum() as Mark).ref : null;
    const groups = edgeLayer
      .selectAll<SVGGElement, Mark>("g.edge")
      .data(visible, ({ ref }) => `${ref.site},${ref.head},${ref.query}>${ref.key}`)
      .join((enter) => {
        const group = enter.append("g").attr("class", "edge").attr("role", "button");
        group.append("path").attr("class", "line");
        group.append("path").attr("class", "reach");
        group.append("title");
        return group
          .on("pointerenter pointermove", (event) => store.set({ hover: meant(event).ref }))
          .on("focus", (_, { ref }) => store.set({ hover: ref }))
          .on("pointerleave blur", () => store.set({ hover: null }))
          .on("mousedown", (event) => void (aimed(event) !== event.currentTarget && event.preventDefault())) // no focus on another
          .on("click", (event) => pin(meant(event).ref));
      })
      .order()
      .attr("aria-label", (mark) => label(mark, scene, mark))
      .attr("data-width", ({ width: of }) => of)
      .attr("tabindex", (_, i) => (i ? -1 : 0))
      .classed("minus", ({ score }) => score < 0)
      .classed("hairline", ({ width: of }) => !of)
      .classed("apart", ({ apart }) => !!apart)
      .classed("leaving", (mark) => !inside(mark.to) || (!mark.reads && !inside(mark.from)));
    groups.select("title").text((mark) => mark.apart ?? "");
    groups.each(function ({ from, to, width: of, reads: isRead }) {
      const [x1, x2, y1, y2] = [isRead ? at : cols.x(from.column), cols.x(to.column), y(from.row), y(to.row)];
      const shift = from.column === to.column ? Math.min(26, 0.4 * Math.abs(y2 - y1)) : 0; // a token that looks at itself
      const line = shift ? `M${x1},${y1}C${x1 + shift},${y1 + shift / 2} ${x1 + shift},${y2 - shift / 2} ${x1},${y2}` : curve({ source: [x1, y1], target: [x2, y2] })!;
      const thick = thickness(of);
      select(this).selectAll("path").attr("d", line);
      select(this).select("path.line").attr("stroke-width", thick.toFixed(2));
      select(this).select("path.reach").attr("stroke-width", Math.max(14, thick + 4));
    });
    if (keep) groups.filter(({ ref }) => sameEdge(ref, keep)).node()?.focus();

    drawFront(scene, cols, left, width, y, inside, name, at);
    drawLegend(scene, hidden);
    canvas.dataset.empty = scene.marks.length ? "" : scene.empty;
    frame.dataset.hidden = String(hidden);
    frame.dataset.edges = String(scene.marks.length - reads.length);
    paint();
  }

  function drawFront(
    scene: Scene, cols: Columns, left: number, width: number, y: (row: number) => number, inside: (spot: Spot) => boolean, name: string, at: number,
  ): void {
    const nodes = scene.nodes.filter(({ spot }) => inside(spot));
    front
      .selectAll("circle")
      .data(nodes)
      .join("circle")
      .attr("cx", ({ spot }) => cols.x(spot.column))
      .attr("cy", ({ spot }) => y(spot.row))
      .attr("r", ({ top }) => (top ? 5 : 3.5))
      .classed("read", ({ soft }) => soft)
      .on("pointerenter", (_, { spot }) => mark(scene.columns[spot.column]!))
      .on("pointerleave", () => store.set({ marked: [] }));

    // the name beside a node, where nothing else stands
    const placed = nodes.map(({ spot }): [number, number, number, number] => {
      const [cx, cy] = [cols.x(spot.column), y(spot.row)];
      return [cx - 4, cy - 5, cx + 4, cy - 1];
    });
    const named = [...nodes]
      .sort((a, b) => b.spot.row - a.spot.row)
      .flatMap(({ spot: { column, row } }) => {
        const text = clipped(scene.columns[column]!.name, 120, 12.5, 600);
        const wide = textWidth(text, 12.5, 600);
        for (const side of [1, -1]) {
          const x = cols.x(column) + side * 8 + (side < 0 ? -wide : 0);
          const box: [number, number, number, number] = [x - 3, y(row) - 19, x + wide + 3, y(row) - 1];
          const free = placed.every((p) => box[2] < p[0] || box[0] > p[2] || box[3] < p[1] || box[1] > p[3]);
          if (!free || box[0] < left - 4 || box[2] > width || (scene.root && box[1] < 26)) continue;
          placed.push(box);
          return [{ text, x, y: y(row) - 6 }];
        }
        return [];
      });
    front
      .selectAll("text.node")
      .data(named)
      .join("text")
      .attr("class", "node")
      .attr("x", (d) => d.x)
      .attr("y", (d) => d.y)
      .text((d) => d.text);

    const low = (column: number) => y(Math.min(scene.rows, bases.get(scene.columns[column]!.axis) ?? 0));
    const bases = new Map(scene.lives.map(({ column, from }) => [scene.columns[column]!.axis, from]));
    front
      .selectAll<SVGTextElement, unknown>("text.token")
      .data(cols.labels.filter(({ text }) => text))
      .join("text")
      .attr("class", "token")
      .classed("bold", ({ bold }) => bold)
      .on("pointerenter", (_, { unit }) => mark(scene.columns[unit]!))
      .on("pointerleave", () => store.set({ marked: [] }))
      .attr("font-size", cols.size)
      .attr("text-anchor", cols.angle ? "end" : "middle")
      .attr("transform", ({ unit }) =>
        cols.angle === 0
          ? `translate(${cols.x(unit)},${low(unit) + 20})`
          : `translate(${cols.x(unit) + (cols.angle === 90 ? 4 : 5)},${low(unit) + 12})rotate(${-cols.angle})`,
      )
      .text(({ text }) => text);
    front
      .selectAll("text.root")
      .data(name ? [name] : [])
      .join("text")
      .attr("class", "root")
      .attr("x", at)
      .attr("y", 18)
      .text((text) => text);
  }

  /** How wide a round number is drawn. */
  function drawLegend({ unit, scale }: Scene, hidden: number): void {
    const swatch = (kind: string, thick: number) => {
      const line = h("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
      line.style.borderTopWidth = `${thick.toFixed(2)}px`;
      return line;
    };
    const thick = thickness(unit / scale);
    legend.replaceChildren(
      h("span", { class: "item" }, swatch("plus", thick), `${plain(unit, 6).replace(/\.?0+$/, "")} of the ${quantity(report)}`),
      h("span", { class: "item" }, swatch("minus", thick), "the same, against it"),
      h("span", { class: "item" }, swatch("none", THIN), `under half a percent of that scale, or a ${report.picture ? "patch" : "word"} carried on`),
      ...(hidden ? [h("span", { class: "item" }, `${count(hidden, "edge")} outside the window`)] : []),
    );
  }

  /** A word of the first axis, here and in the text. */
  function mark({ axis, members }: Column): void {
    store.set({ marked: axis === 0 ? members : [] });
  }

  function pin(ref: EdgeRef): void {
    store.set({ pinned: sameEdge(store.state.pinned, ref) ? null : ref });
  }

  function paint(): void {
    const { hover, pinned, marked } = store.state;
    const lit = hover ?? pinned;
    const column = (axis: number) => (position: number) => columnOf.get(`${axis},${position}`);
    const facts = lit && report.sites[lit.site]!;
    const touched = new Set(facts ? [...lit.query.map(column(facts.query_axis)), ...lit.key.map(column(facts.key_axis))] : marked.map(column(0)));
    const same = (mark: EdgeRef, edge: EdgeRef | null) => {
      const of = edge && report.sites[edge.site]!;
      return !!of && covers(mark, edge, column(of.query_axis), column(of.key_axis));
    };
    edgeLayer
      .selectAll<SVGGElement, Mark>("g.edge")
      .classed("lit", ({ ref }) => same(ref, hover) || same(ref, pinned))
      .classed("near", ({ from, to }) => !lit && marked.length > 0 && (touched.has(from.column) || touched.has(to.column)))
      .attr("aria-pressed", ({ ref }) => String(sameEdge(ref, pinned)));
    frame.classList.toggle("dimmed", edgeLayer.select("g.edge.lit, g.edge.near").size() > 0);
    front.selectAll<SVGTextElement, { unit: number }>("text.token").classed("lit", ({ unit }) => touched.has(unit));
  }

  roving(edgeLayer.node()!, "g.edge", along);
  store.on(["unit", "mode", "threshold", "count", "shown", "window", "theme", "scale"], draw);
  store.on(["hover", "pinned", "marked"], paint);
  new ResizeObserver(draw).observe(canvas);
  return frame;
}
