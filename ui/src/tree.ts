// The attribution tree: tokens across, layers up. An edge of layer l runs from the query, above, to the key.
import { select } from "d3-selection";
import { linkVertical } from "d3-shape";
import { type Columns, columns } from "./columns";
import type { Data, Units } from "./data";
import { siteName } from "./data";
import { along, clipped, h, roving, textWidth } from "./dom";
import { plain, signed, strength } from "./format";
import { covers, type EdgeRef, sameEdge, type Store } from "./state";
import { buildTree, readings, type TreeEdge } from "./tree-build";

interface Drawn {
  ref: EdgeRef;
  from: number; // heights, in layers
  to: number;
  query: number;
  key: number;
  score: number;
  label: string;
}

const curve = linkVertical<unknown, readonly [number, number]>();
const path = (x1: number, y1: number, x2: number, y2: number) => curve({ source: [x1, y1], target: [x2, y2] })!;

export function treeView(data: Data, store: Store, units: () => Units): HTMLElement {
  const frame = h("div", { class: "tree" });
  const svg = select(frame).append("svg").attr("role", "group").attr("aria-label", "Attribution tree");
  const ground = svg.append("g").attr("class", "ground").attr("aria-hidden", "true");
  const edgeLayer = svg.append("g").attr("class", "edges").attr("role", "group").attr("aria-label", "Edges");
  const front = svg.append("g").attr("class", "front").attr("aria-hidden", "true");
  const { report } = data;

  function drawnEdge(level: Units, ref: EdgeRef, score: number, from: number, to: number): Drawn {
    const [query, key] = [level.unitOf[ref.query[0]!]!, level.unitOf[ref.key[0]!]!];
    const where = `${siteName(report, ref.site)}${ref.head === null ? "" : `, head ${ref.head}`}`;
    const label = `${where}: ${level.names[query]} attends to ${level.names[key]}, score ${signed(score)}`;
    return { ref, query, key, score, from, to, label };
  }

  function ofTree(level: Units, edges: TreeEdge[]): Drawn[] {
    return edges.map(({ site, query, key, score, from, to }) =>
      drawnEdge(level, { site, head: null, query: level.members[query]!, key: level.members[key]! }, score, from, to),
    );
  }

  function strongest(level: Units): Drawn[] {
    const { edges } = report;
    if (!edges) return [];
    const band = new Map(level.layers.map((layer, number) => [layer.site, number]));
    return edges.site
      .map((_, e) => e)
      .filter((e) => band.has(edges.site[e]!))
      .slice(0, store.state.count)
      .map((e) => {
        const ref = { site: edges.site[e]!, head: edges.head[e]!, query: [edges.query[e]!], key: [edges.key[e]!] };
        return drawnEdge(level, ref, edges.score[e]!, band.get(ref.site)! + 1, band.get(ref.site)!);
      });
  }

  function draw(): void {
    const level = units();
    const width = frame.clientWidth || 900;
    const height = frame.clientHeight || 520;
    const isTree = store.state.mode === "tree";
    const tree = buildTree(level, store.state.threshold);
    const reads = isTree ? ofTree(level, readings(level, tree, store.state.threshold)) : [];
    const own = isTree ? ofTree(level, tree.edges) : strongest(level);
    const drawn = [...reads, ...own];
    const largest = Math.max(0, ...drawn.map(({ score }) => Math.abs(score)));

    const weight = new Map<number, number>();
    const touch = (unit: number, by: number) => weight.set(unit, Math.max(weight.get(unit) ?? 0, by));
    if (isTree) for (const unit of tree.appeared.keys()) touch(unit, largest || 1);
    for (const { query, key, score } of drawn) {
      touch(key, Math.abs(score));
      touch(query, Math.abs(score));
    }

    const left = 24 + Math.max(40, ...level.layers.map(({ site }) => textWidth(siteName(report, site), 12)));
    const cols = columns(level.names, store.state.window, (unit) => weight.get(unit) ?? 0, left, width - 20);
    const bands = level.layers.length;
    const top = reads.length ? 40 : 26;
    const bottom = height - cols.height - 8;
    const y = (line: number) => bottom - ((bottom - top) * line) / Math.max(1, bands); // line 0 is below layer 0
    const inside = (unit: number) => unit >= store.state.window[0] && unit < store.state.window[1];

    // an edge that leaves the window fades to its margin; one that never enters it is only counted
    const visible = drawn.filter((d) => inside(d.key) || (inside(d.query) && !reads.includes(d)));
    const hidden = drawn.length - visible.length;

    svg.attr("width", width).attr("height", height).attr("viewBox", `0 0 ${width} ${height}`);

    // layers
    const lines = Array.from({ length: bands + 1 }, (_, line) => line);
    ground
      .selectAll("line.layer")
      .data(lines)
      .join("line")
      .attr("class", "layer")
      .attr("x1", left - 8)
      .attr("x2", width - 12)
      .attr("y1", y)
      .attr("y2", y);
    ground
      .selectAll("text.layer")
      .data(level.layers)
      .join("text")
      .attr("class", "layer")
      .attr("x", left - 16)
      .attr("y", (_, band) => y(band + 0.5))
      .attr("dy", "0.32em")
      .text(({ site }) => siteName(report, site));

    // lifelines: a token is there from the bottom up to where it appeared
    const heights = new Map(isTree ? tree.appeared : [...weight.keys()].map((unit) => [unit, bands]));
    for (const { key, to } of reads) if (!heights.has(key)) heights.set(key, to);
    const lives = [...heights].map(([unit, line]) => ({ unit, line, own: !isTree || tree.appeared.has(unit) }));
    ground
      .selectAll("line.life")
      .data(lives.filter(({ unit }) => inside(unit)))
      .join("line")
      .attr("class", "life")
      .classed("read", ({ own }) => !own)
      .attr("x1", ({ unit }) => cols.x(unit))
      .attr("x2", ({ unit }) => cols.x(unit))
      .attr("y1", y(0))
      .attr("y2", ({ line }) => y(line));
    ground // the way up to where the readout takes it
      .selectAll("line.way")
      .data(reads.filter(({ key, to }) => inside(key) && heights.get(key)! < to))
      .join("line")
      .attr("class", "way")
      .attr("x1", ({ key }) => cols.x(key))
      .attr("x2", ({ key }) => cols.x(key))
      .attr("y1", ({ key }) => y(heights.get(key)!))
      .attr("y2", ({ to }) => y(to));

    // the prediction stands where what it reads balances
    const name = level.readout === null || !reads.length ? "" : `${report.target.label}, read at ${level.names[level.readout]}`;
    const half = textWidth(name, 14, 600) / 2 + 4;
    const pull = reads.reduce((sum, { score }) => sum + score, 0);
    const middle = reads.reduce((sum, { key, score }) => sum + (cols.x(key) * score) / pull, 0);
    const at = Math.max(left + half, Math.min(width - 20 - half, middle));
    const start = (d: Drawn) => (isTree && d.query === level.readout ? at : cols.x(d.query));

    // edges
    const focused = document.activeElement?.closest?.(".tree g.edge") ? document.activeElement : null;
    const keep = focused ? (select(focused).datum() as Drawn).ref : null;
    const groups = edgeLayer
      .selectAll<SVGGElement, Drawn>("g.edge")
      .data(visible, (d) => `${d.ref.site},${d.ref.head},${d.ref.query}>${d.ref.key}`)
      .join((enter) => {
        const group = enter.append("g").attr("class", "edge").attr("role", "button");
        group.append("path").attr("class", "line");
        group.append("path").attr("class", "reach");
        return group
          .on("pointerenter focus", (_, d) => store.set({ hover: d.ref }))
          .on("pointerleave blur", () => store.set({ hover: null }))
          .on("click", (_, d) => pin(d.ref))
          .on("keydown", (event: KeyboardEvent, d) => {
            if (event.key !== "Enter" && event.key !== " ") return;
            event.preventDefault();
            pin(d.ref);
          });
      })
      .order()
      .attr("aria-label", (d) => d.label)
      .attr("tabindex", (_, i) => (i ? -1 : 0))
      .classed("minus", (d) => d.score < 0)
      .classed("leaving", (d) => !inside(d.key) || (!reads.includes(d) && !inside(d.query)));
    ground
      .selectAll("text.hidden")
      .data(hidden ? [`${hidden} ${hidden === 1 ? "edge" : "edges"} outside the window`] : [])
      .join("text")
      .attr("class", "hidden")
      .attr("x", left)
      .attr("y", 12)
      .text((text) => text);
    groups.each(function (d) {
      const shift = d.query === d.key ? 16 : 0;
      const [x1, x2, y1, y2] = [start(d), cols.x(d.key), y(d.from), y(d.to)];
      const line = shift ? `M${x1},${y1}C${x1 + shift},${y1 + 10} ${x1 + shift},${y2 - 10} ${x1},${y2}` : path(x1, y1, x2, y2);
      select(this).selectAll("path").attr("d", line);
      select(this)
        .select("path.line")
        .attr("stroke-width", (1.25 + 9.5 * Math.sqrt(Math.abs(d.score) / (largest || 1))).toFixed(2))
        .attr("stroke-opacity", (0.45 + 0.5 * strength(d.score, largest)).toFixed(3));
    });
    if (keep) groups.filter((d) => sameEdge(d.ref, keep)).node()?.focus();

    drawFront(level, isTree, cols, left, y, inside, name, at, lives);
    svg.attr(
      "aria-label",
      isTree
        ? `Attribution tree of ${own.length} edges at threshold ${plain(store.state.threshold, 2)}`
        : `The ${own.length} strongest edges`,
    );
    frame.classList.toggle("empty", !drawn.length);
    frame.dataset.hidden = String(hidden);
    frame.dataset.edges = String(own.length);
    paint();
  }

  function drawFront(
    level: Units,
    isTree: boolean,
    cols: Columns,
    left: number,
    y: (line: number) => number,
    inside: (unit: number) => boolean,
    name: string,
    at: number,
    lives: { unit: number; line: number; own: boolean }[],
  ): void {
    front
      .selectAll("circle")
      .data(isTree ? lives.filter(({ unit }) => inside(unit)) : [])
      .join("circle")
      .attr("cx", ({ unit }) => cols.x(unit))
      .attr("cy", ({ line }) => y(line))
      .attr("r", ({ unit }) => (unit === level.top ? 5.5 : 4))
      .classed("read", ({ own }) => !own);

    // the name beside a node, where nothing else stands
    const placed: [number, number, number, number][] = [];
    const names = (isTree ? lives : [])
      .filter(({ unit }) => inside(unit))
      .sort((a, b) => b.line - a.line)
      .flatMap(({ unit, line }) => {
        const text = clipped(level.names[unit]!, 120, 13, 600);
        const wide = textWidth(text, 13, 600);
        for (const side of [1, -1]) {
          const x = cols.x(unit) + side * 9 + (side < 0 ? -wide : 0);
          const box: [number, number, number, number] = [x - 3, y(line) - 19, x + wide + 3, y(line) - 1];
          const free = placed.every((p) => box[2] < p[0] || box[0] > p[2] || box[3] < p[1] || box[1] > p[3]);
          if (!free || box[0] < left - 4 || box[2] > (frame.clientWidth || 900)) continue;
          placed.push(box);
          return [{ unit, text, x, y: y(line) - 6 }];
        }
        return [];
      });
    front
      .selectAll("text.node")
      .data(names)
      .join("text")
      .attr("class", "node")
      .attr("x", (d) => d.x)
      .attr("y", (d) => d.y)
      .text((d) => d.text);

    front
      .selectAll<SVGTextElement, unknown>("text.token")
      .data(cols.labels)
      .join("text")
      .attr("class", "token")
      .classed("bold", ({ bold }) => bold)
      .attr("font-size", cols.size)
      .attr("text-anchor", cols.angle ? "end" : "middle")
      .attr("transform", ({ unit }) =>
        cols.angle === 0
          ? `translate(${cols.x(unit)},${y(0) + 20})`
          : `translate(${cols.x(unit) + (cols.angle === 90 ? 4 : 5)},${y(0) + 12})rotate(${-cols.angle})`,
      )
      .text(({ text }) => text);

    front
      .selectAll("text.root")
      .data(name ? [name] : [])
      .join("text")
      .attr("class", "root")
      .attr("x", at)
      .attr("y", 20)
      .text((text) => text);
  }

  function pin(ref: EdgeRef): void {
    store.set({ pinned: sameEdge(store.state.pinned, ref) ? null : ref });
  }

  function paint(): void {
    const { hover, pinned, marked } = store.state;
    const lit = hover ?? pinned;
    const level = units();
    const touched = new Set((lit ? [...lit.query, ...lit.key] : marked).map((position) => level.unitOf[position]!));
    edgeLayer
      .selectAll<SVGGElement, Drawn>("g.edge")
      .classed("lit", (d) => covers(d.ref, hover, level.unitOf) || covers(d.ref, pinned, level.unitOf))
      .classed("near", (d) => !lit && marked.length > 0 && (touched.has(d.query) || touched.has(d.key)))
      .attr("aria-pressed", (d) => String(sameEdge(d.ref, pinned)));
    const any = edgeLayer.select("g.edge.lit, g.edge.near").size() > 0;
    frame.classList.toggle("dimmed", any);
    front.selectAll<SVGTextElement, { unit: number }>("text.token").classed("lit", ({ unit }) => touched.has(unit));
  }

  roving(edgeLayer.node()!, "g.edge", along);
  store.on(["unit", "mode", "threshold", "count", "window"], draw);
  store.on(["hover", "pinned", "marked"], paint);
  new ResizeObserver(draw).observe(frame);
  return frame;
}

