// The image itself: each patch under a veil as strong as what attending to it gave in the chosen layer, edges from centre to centre.
import type { Data } from "./data";
import { effectsOf, siteName } from "./data";
import { along, h, legible, over, palette, roving } from "./dom";
import { signed, strength } from "./format";
import { type EdgeRef, sameEdge, type Store } from "./state";
import type { Picture } from "./types";

const NS = "http://www.w3.org/2000/svg";
const SIDE = 420; // of the picture, in units of the drawing
const CHIP = [58, 26] as const; // of a special token, beside it
const LINES = 12;
const VEIL = 0.8; // opacity of the strongest: the picture stays to be seen

interface Drawn {
  ref: EdgeRef;
  score: number;
}

export function pictureView(data: Data, store: Store, picture: Picture): HTMLElement {
  const { report, tokens } = data;
  const { png, rows, columns, first } = picture;
  const scale = SIDE / Math.max(picture.width, picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  const left = first ? CHIP[0] + 12 : 0;
  const [wide, high] = [width / columns, height / rows];
  let values: number[] | null = null;
  const told = h("p", { class: "told", "aria-live": "polite" });
  const whole = [left + width, Math.max(height, first * (CHIP[1] + 8))] as const;
  const svg = node("svg", { viewBox: `0 0 ${whole[0]} ${whole[1]}` });
  const frame = h("div", { class: "picture" }, svg, told);
  let shown: { drawn: Drawn; mark: SVGElement }[] = [];
  let turn = 0;

  const box = (unit: number) =>
    unit < first
      ? { x: 0, y: unit * (CHIP[1] + 8), width: CHIP[0], height: CHIP[1] }
      : { x: left + ((unit - first) % columns) * wide, y: Math.floor((unit - first) / columns) * high, width: wide, height: high };
  const centre = (unit: number) => {
    const { x, y, width: w, height: t } = box(unit);
    return [unit < first ? x + w : x + w / 2, y + t / 2] as const;
  };

  const place = { x: left, y: 0, width, height };
  svg.append(png ? node("image", { ...place, href: `data:image/png;base64,${png}`, preserveAspectRatio: "none", class: scale > 3 ? "coarse" : "" }) : node("rect", { ...place, class: "blank" }));
  const patches = node("g", {});
  const edges = node("g", { class: "edges" });
  const ends = node("g", { class: "ends" });
  svg.append(patches, edges, ends);

  function veils(): void {
    values = effectsOf(report, store.state.layer, tokens);
    const largest = Math.max(0, ...(values ?? []).map(Math.abs));
    patches.replaceChildren(...Array.from({ length: tokens.n }, (_, unit) => patch(unit, largest)));
  }

  function patch(unit: number, largest: number): SVGElement {
    const value = values?.[unit] ?? 0;
    const strong = strength(value, largest);
    const at = box(unit);
    const mark = node("g", { class: `patch${value < 0 ? " minus" : ""}${unit < first ? " special" : ""}`, role: "button", tabindex: unit === first ? 0 : -1, "aria-label": said(unit) });
    mark.append(node("rect", { ...at, class: "veil", "fill-opacity": VEIL * strong }));
    if (value < 0) {
      const y = at.y + at.height - 1.5; // a sign is never told by the hue alone
      mark.append(node("line", { x1: at.x + 2, x2: at.x + at.width - 2, y1: y, y2: y, class: "below-zero", "stroke-opacity": Math.min(1, 3 * strong) }));
    }
    if (unit < first) {
      const colours = palette(frame, "paper", "ink", "plus", "minus");
      const ground = over(value < 0 ? colours.minus : colours.plus, colours.paper, VEIL * strong);
      const text = node("text", { x: at.x + at.width / 2, y: at.y + at.height / 2, dy: "0.35em" });
      text.style.fill = legible(colours.ink, ground) ?? "";
      text.textContent = tokens.names[unit]!;
      mark.append(text);
    }
    mark.addEventListener("pointerenter", () => store.set({ marked: [unit] }));
    mark.addEventListener("pointerleave", () => store.set({ marked: [] }));
    mark.addEventListener("focus", () => store.set({ marked: [unit] }));
    mark.addEventListener("blur", () => store.set({ marked: [] }));
    return mark;
  }

  function said(unit: number): string {
    const [row, column] = [Math.floor((unit - first) / columns), (unit - first) % columns];
    const name = unit < first ? tokens.names[unit]! : `row ${row}, column ${column}`;
    return values ? `${name}: ${signed(values[unit])}` : name;
  }

  async function wanted(): Promise<Drawn[]> {
    const within = (site: number) => report.sites[site]!.query_axis === 0 && report.sites[site]!.key_axis === 0;
    const { lines, head: [site, head] } = store.state;
    const ofHead = lines === "head";
    if (lines === "none" || (ofHead && !(report.sites[site] && within(site)))) return [];
    const scores = ofHead ? await data.grid(site, head, "scores") : null;
    if (scores) {
      const order = Array.from(scores.keys()).filter((e) => scores[e]).sort((a, b) => Math.abs(scores[b]!) - Math.abs(scores[a]!));
      return order.slice(0, LINES).map((e) => ({ ref: { site, head, query: [Math.floor(e / tokens.n)], key: [e % tokens.n] }, score: scores[e]! }));
    }
    const all = report.edges?.site.map((at, e) => ({ ref: { site: at, head: report.edges!.head[e]!, query: [report.edges!.query[e]!], key: [report.edges!.key[e]!] }, score: report.edges!.score[e]! })) ?? [];
    return all.filter(({ ref }) => within(ref.site) && (!ofHead || (ref.site === site && ref.head === head))).slice(0, LINES);
  }

  async function draw(): Promise<void> {
    const mine = ++turn;
    const found = await wanted();
    if (mine !== turn) return; // something else was asked for meanwhile
    const most = Math.abs(found[0]?.score ?? 0);
    shown = found.map((drawn, k) => ({ drawn, mark: line(drawn, most, k) }));
    edges.replaceChildren(...shown.map(({ mark }) => mark).reverse()); // the strongest on top
    frame.dataset.edges = String(found.length);
    paint();
  }

  /** From the patch that looks to the one that it looks at, which has the dot; a ring where it looks at itself. */
  function line({ ref, score }: Drawn, most: number, k: number): SVGElement {
    const [[x1, y1], [x2, y2]] = [centre(ref.query[0]!), centre(ref.key[0]!)];
    const thick = 1 + 3 * strength(score, most);
    const label = `${data.name(0, ref.query[0]!)} attends to ${data.name(0, ref.key[0]!)}, ${siteName(report, ref.site)}, head ${ref.head}: ${signed(score)}`;
    const mark = node("g", { class: `edge${score < 0 ? " minus" : ""}`, role: "button", tabindex: k ? -1 : 0, "aria-label": label });
    const self = ref.query[0] === ref.key[0];
    const shape = (name: string, wider: number) =>
      self ? node("circle", { class: name, cx: x1, cy: y1, r: 6, "stroke-width": thick / 2 + wider }) : node("line", { class: name, x1, y1, x2, y2, "stroke-width": thick + wider });
    mark.append(shape("halo", 2), shape("line", 0), shape("reach", 8));
    if (!self) mark.append(node("circle", { class: "dot", cx: x2, cy: y2, r: 2.5 + thick / 2 }));
    mark.addEventListener("pointerenter", () => store.set({ hover: ref }));
    mark.addEventListener("pointerleave", () => store.set({ hover: null }));
    mark.addEventListener("focus", () => store.set({ hover: ref }));
    mark.addEventListener("blur", () => store.set({ hover: null }));
    mark.addEventListener("click", () => store.set({ pinned: sameEdge(store.state.pinned, ref) ? null : ref, head: [ref.site, ref.head!] }));
    return mark;
  }

  function paint(): void {
    const { hover, pinned, marked, lines, head } = store.state;
    const edge = hover ?? pinned;
    const lit = edge && report.sites[edge.site]!.key_axis === 0 && report.sites[edge.site]!.query_axis === 0 ? edge : null;
    for (const { drawn, mark } of shown) mark.classList.toggle("lit", sameEdge(drawn.ref, lit));
    edges.classList.toggle("dimmed", !!lit);
    const [query, key] = lit ? [lit.query, lit.key] : [[], marked];
    const ring = (unit: number, name: string) => node("rect", { ...box(unit), class: name });
    const way = lit && !shown.some(({ drawn }) => sameEdge(drawn.ref, lit)) && lit.query[0] !== lit.key[0] ? [lit.query[0]!, lit.key[0]!].map(centre) : null;
    ends.replaceChildren(
      ...query.map((unit) => ring(unit, "query")),
      ...key.map((unit) => ring(unit, "key")),
      ...(way ? [node("line", { class: "way", x1: way[0]![0], y1: way[0]![1], x2: way[1]![0], y2: way[1]![1] })] : []),
    );
    const which = lines === "head" ? `Edges of ${siteName(report, head[0])}, head ${head[1]}` : lines === "strongest" ? "The strongest edges" : "";
    told.textContent = marked.length === 1 && !lit ? said(marked[0]!) : which ? `${which}; the dot is what is looked at.` : "Point at a patch to read it.";
  }

  roving(svg, ".patch", (marks, at, key) => (key === "ArrowDown" ? at + columns : key === "ArrowUp" ? at - columns : along(marks, at, key)));
  roving(svg, ".edge", along);
  store.on(["layer", "theme"], veils);
  store.on(["lines", "head"], () => void draw());
  store.on(["hover", "pinned", "marked"], paint);
  return frame;
}

function node(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) if (value !== "") element.setAttribute(key, String(value));
  return element;
}
