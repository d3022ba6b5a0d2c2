// One head: attribution and attention weight side by side, and the edges on which they disagree most.
import type { Data } from "./data";
import { siteName } from "./data";
import { clipped, h, palette, roving } from "./dom";
import { plain, signed, strength } from "./format";
import { type EdgeRef, sameEdge, type Store } from "./state";

const SHOWN = 8;
const NS = "http://www.w3.org/2000/svg";

interface Cell {
  query: number;
  key: number;
  score: number;
  attention: number;
}

/** Edges whose share of the head's largest weight and of its largest |score| lie furthest apart. */
export function disagreements(
  scores: Float32Array, attention: Float32Array, width: number, queries: number[] | null = null, shown = SHOWN,
): Cell[] {
  const can = queries && new Set(queries); // those that the output is read from; others score nothing, whatever they look at
  let [most, heaviest] = [0, 0];
  for (let e = 0; e < scores.length; e++) {
    if (can && !can.has(Math.floor(e / width))) continue;
    most = Math.max(most, Math.abs(scores[e]!));
    heaviest = Math.max(heaviest, attention[e]!);
  }
  const best: { e: number; apart: number }[] = [];
  for (let e = 0; e < scores.length; e++) {
    if (can && !can.has(Math.floor(e / width))) continue;
    const apart = Math.abs(attention[e]! / (heaviest || 1) - Math.abs(scores[e]!) / (most || 1));
    if (best.length === shown && apart <= best[shown - 1]!.apart) continue;
    let at = best.length;
    while (at && best[at - 1]!.apart < apart) at--;
    best.splice(at, 0, { e, apart });
    best.length = Math.min(best.length, shown);
  }
  return best.map(({ e }) => ({
    query: Math.floor(e / width),
    key: e % width,
    score: scores[e]!,
    attention: attention[e]!,
  }));
}

export function matrixView(data: Data, store: Store): HTMLElement {
  const { report } = data;
  const title = h("p", { class: "which", "aria-live": "polite" });
  const told = h("p", { class: "told", "aria-live": "polite" });
  const pictures = h("div", { class: "pictures", role: "group", "aria-label": "Cells of this head" });
  const list = h("tbody");
  const columns = ["token → attends to", "score", "attention"].map((name) => h("th", { scope: "col" }, name));
  const beside = h(
    "div",
    { class: "beside" },
    h("h3", {}, "Where they disagree most"),
    h("p", { class: "note" }, "Ringed in both: much attention and little score, or the reverse. Of tokens that the output is read from."),
    h("table", { class: "apart" }, h("thead", {}, h("tr", {}, ...columns)), list),
  );
  const frame = h("div", { class: "matrix" }, title, h("div", { class: "side-by-side" }, pictures, beside), told);
  let turn = 0;
  let at: [number, number] | null = null; // the cell that was pointed at last
  let point: (i: number, j: number) => void = () => {};
  let cells: [Span, Span] = [[0, 0], [0, 0]];
  let frames: ((i: number | null, j: number | null) => void)[] = [];

  /** The edge that is pointed at elsewhere, framed here. */
  function paint(): void {
    const edge = store.state.hover ?? store.state.pinned;
    const [site, head] = store.state.head;
    const mine = edge && edge.site === site && (edge.head === null || edge.head === head);
    for (const place of frames) place(mine ? edge.query[0]! : null, mine ? edge.key[0]! : null);
  }

  async function draw(): Promise<void> {
    const [site, head] = store.state.head;
    const facts = report.sites[site];
    if (!facts) return;
    title.textContent = `${siteName(report, site)}, head ${head}: score ${signed(facts.head_sum[head])} in all, its largest edge ${signed(facts.head_max[head])}`;
    const mine = ++turn;
    const [scores, attention] = await Promise.all([data.grid(site, head, "scores"), data.grid(site, head, "attention")]);
    if (mine !== turn) return; // another head was asked for meanwhile
    if (!scores || !attention) {
      pictures.replaceChildren(h("p", { class: "note" }, "This result was made without the heads’ matrices; store=\"dense\" keeps them."));
      beside.hidden = true;
      return;
    }
    const [queries, keys] = [report.axes[facts.query_axis]!, report.axes[facts.key_axis]!];
    const width = keys.tokens.length;
    const near = (i: number, j: number) => (data.exact({ site, head, query: [i], key: [j] }) === null ? "≈ " : "");
    const apart = disagreements(scores, attention, width, facts.queries);
    const [q0, q1] = range(facts.query_axis, queries.tokens.length);
    const [k0, k1] = range(facts.key_axis, width);
    cells = [[q0, q1], [k0, k1]];
    at = null;
    pictures.tabIndex = 0;
    point = (i, j) => {
      at = [i, j];
      const cell = i * width + j;
      const about = near(i, j);
      told.textContent = `${queries.names[i]} (${i}) attends to ${keys.names[j]} (${j}): score ${about}${signed(scores[cell])}, attention ${about}${plain(attention[cell])}`;
      store.set({ hover: { site, head, query: [i], key: [j] } });
    };
    const own = frame.clientWidth > 900 ? frame.clientWidth - 330 : frame.clientWidth;
    const side = Math.max(Math.min(300, own || 300), Math.min(520, own / 2 - 24));
    const picture = (values: Float32Array, name: string, hue: "sign" | "grey") =>
      drawn(values, width, [q0, q1], [k0, k1], side, name, hue, queries.names, keys.names, apart, point);
    const both = [picture(scores, "Attribution", "sign"), picture(attention, "Attention weight", "grey")];
    pictures.replaceChildren(...both.map(({ figure }) => figure));
    frames = both.map(({ place }) => place);
    paint();
    told.textContent = "Rows attend to columns. Point at a cell to read it.";
    list.replaceChildren(
      ...apart.map(({ query, key, score, attention: weight }) => {
        const ref = { site, head, query: [query], key: [key] };
        return h(
          "tr",
          { tabindex: -1, click: () => pin(ref), pointerenter: () => store.set({ hover: ref }), pointerleave: () => store.set({ hover: null }), focus: () => store.set({ hover: ref }), blur: () => store.set({ hover: null }) },
          h("td", { class: "pair" }, h("bdi", {}, queries.names[query]!), " → ", h("bdi", {}, keys.names[key]!)),
          h("td", { class: `number ${score < 0 ? "minus" : "plus"}` }, `${near(query, key)}${signed(score)}`),
          h("td", { class: "number" }, `${near(query, key)}${plain(weight)}`),
        );
      }),
    );
    const kept = Math.min(facts.scores![head]!.kept, facts.attention![head]!.kept);
    if (kept < 1) told.textContent += ` Only the strongest ${Math.round(100 * kept)} % of the cells are held in this file.`;
  }

  /** The window, on the axis that it is a window of. */
  function range(axis: number, length: number): [number, number] {
    if (axis !== 0) return [0, length];
    const level = store.state.unit === "words" ? data.words : data.tokens;
    const [first, end] = store.state.window;
    return [level.members[first]![0]!, level.members[end - 1]!.at(-1)! + 1];
  }

  function pin(ref: EdgeRef): void {
    store.set({ pinned: sameEdge(store.state.pinned, ref) ? null : ref });
  }

  function pinCell(): void {
    const [site, head] = store.state.head;
    if (at) pin({ site, head, query: [at[0]], key: [at[1]] });
  }

  /** From cell to cell by the arrow keys, beginning at the first that is shown. */
  function keyed(event: KeyboardEvent): void {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
    const [[q0, q1], [k0, k1]] = cells;
    if (event.key === "Enter" || event.key === " ") pinCell();
    else if (down || right) point(...(at ? ([within(at[0] + down!, q0, q1), within(at[1] + right!, k0, k1)] as const) : ([q0, k0] as const)));
    else return;
    event.preventDefault();
  }

  pictures.addEventListener("keydown", keyed);
  pictures.addEventListener("blur", () => store.set({ hover: null }));
  pictures.addEventListener("pointerleave", () => store.set({ hover: null }));
  pictures.addEventListener("click", (event) => event.target instanceof HTMLCanvasElement && pinCell());
  roving(list, "tr");
  store.on(["head", "window", "theme"], () => void draw());
  store.on(["hover", "pinned"], paint);
  new ResizeObserver(() => void draw()).observe(frame);
  return frame;
}

type Span = [number, number];

function within(value: number, first: number, end: number): number {
  return Math.max(first, Math.min(end - 1, value));
}

function drawn(
  values: Float32Array, width: number, [q0, q1]: Span, [k0, k1]: Span, side: number, name: string, hue: "sign" | "grey",
  rows: string[], columns: string[], rings: Cell[], point: (i: number, j: number) => void,
): { figure: HTMLElement; place: (i: number | null, j: number | null) => void } {
  const [height, wide] = [q1 - q0, k1 - k0];
  const margin = 84;
  const cell = (side - margin) / Math.max(height, wide);
  const canvas = h("canvas", { role: "img", "aria-label": `${name}, ${height} rows by ${wide} columns` });
  canvas.width = wide;
  canvas.height = height;
  canvas.style.width = `${wide * cell}px`;
  canvas.style.height = `${height * cell}px`;
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(wide, height);
  let largest = 0;
  for (let e = 0; e < values.length; e++) largest = Math.max(largest, Math.abs(values[e]!));
  const { plus, minus, ink } = palette(document.querySelector(".attattr") ?? document.body, "plus", "minus", "ink");
  for (let i = 0; i < height; i++)
    for (let j = 0; j < wide; j++) {
      const value = values[(q0 + i) * width + k0 + j]!;
      const [red, green, blue] = hue === "grey" ? ink : value < 0 ? minus : plus;
      image.data.set([red, green, blue, 255 * strength(value, largest)], 4 * (i * wide + j));
    }
  context.putImageData(image, 0, 0);

  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("aria-hidden", "true");
  const [w, t] = [margin + wide * cell, margin + height * cell];
  svg.setAttribute("viewBox", `0 0 ${w} ${t}`);
  svg.style.width = `${w}px`;
  svg.style.height = `${t}px`;
  const every = Math.ceil(12 / cell);
  const label = (text: string, x: number, y: number, turned: boolean) => {
    const element = document.createElementNS(NS, "text");
    element.textContent = clipped(text, margin - 8, 11);
    element.setAttribute("transform", turned ? `translate(${x},${y})rotate(-90)` : `translate(${x},${y})`);
    element.setAttribute("text-anchor", turned ? "start" : "end");
    element.setAttribute("dy", "0.34em");
    svg.append(element);
  };
  for (let i = 0; i < height; i += every) label(rows[q0 + i]!, margin - 4, margin + (i + 0.5) * cell, false);
  for (let j = 0; j < wide; j += every) label(columns[k0 + j]!, margin + (j + 0.5) * cell, margin - 4, true);
  for (const { query, key } of rings) {
    if (query < q0 || query >= q1 || key < k0 || key >= k1) continue;
    const ring = document.createElementNS(NS, "circle");
    ring.setAttribute("cx", String(margin + (key - k0 + 0.5) * cell));
    ring.setAttribute("cy", String(margin + (query - q0 + 0.5) * cell));
    ring.setAttribute("r", String(Math.max(4, cell * 0.62)));
    svg.append(ring);
  }
  const over = (event: PointerEvent) => {
    const box = canvas.getBoundingClientRect();
    const i = q0 + Math.floor(((event.clientY - box.top) / box.height) * height);
    const j = k0 + Math.floor(((event.clientX - box.left) / box.width) * wide);
    if (i >= q0 && i < q1 && j >= k0 && j < k1) point(i, j);
  };
  canvas.addEventListener("pointermove", over);
  canvas.addEventListener("pointerdown", over); // a tap does not move
  const stack = h("div", { class: "stack" }, canvas, svg);
  stack.style.padding = `${margin}px 0 0 ${margin}px`;
  const mark = document.createElementNS(NS, "rect");
  svg.append(mark);
  const place = (i: number | null, j: number | null) => {
    const shown = i !== null && j !== null && i >= q0 && i < q1 && j >= k0 && j < k1;
    mark.style.display = shown ? "" : "none";
    if (!shown) return;
    const edge = Math.max(cell, 5);
    const at = { x: margin + (j - k0 + 0.5) * cell - edge / 2, y: margin + (i - q0 + 0.5) * cell - edge / 2, width: edge, height: edge };
    for (const [key, value] of Object.entries(at)) mark.setAttribute(key, String(value));
  };
  return { figure: h("figure", {}, h("figcaption", {}, name), stack), place };
}

