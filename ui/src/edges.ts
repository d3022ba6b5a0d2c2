// The strongest edges as a table, to filter and to sort.
import type { Data } from "./data";
import { siteName } from "./data";
import { h, roving } from "./dom";
import { plain, signed, strength } from "./format";
import { type EdgeRef, sameEdge, type Store } from "./state";

const PAGE = 25;

interface Row {
  ref: EdgeRef;
  rank: number;
  layer: number;
  head: number;
  query: string;
  key: string;
  score: number;
  attention: number;
  effect: number | null;
}

type Column = "rank" | "layer" | "head" | "query" | "key" | "score" | "attention" | "effect";

const COLUMNS: readonly (readonly [Column, string])[] = [
  ["rank", "#"],
  ["layer", "layer"],
  ["head", "head"],
  ["query", "token"],
  ["key", "attends to"],
  ["score", "score"],
  ["attention", "attention"],
  ["effect", "taken out"],
];

export function edgesView(data: Data, store: Store): HTMLElement {
  const { report } = data;
  const { edges, effects } = report;
  if (!edges) return h("p", { class: "note" }, "This result was made without edges; store=\"edges\" keeps them.");
  const rows: Row[] = edges.site.map((site, e) => {
    const facts = report.sites[site]!;
    return {
      ref: { site, head: edges.head[e]!, query: [edges.query[e]!], key: [edges.key[e]!] },
      rank: e + 1,
      layer: site,
      head: edges.head[e]!,
      query: data.name(facts.query_axis, edges.query[e]!),
      key: data.name(facts.key_axis, edges.key[e]!),
      score: edges.score[e]!,
      attention: edges.attention[e]!,
      effect: effects?.edges[e] ?? null,
    };
  });
  const shown = COLUMNS.filter(([name]) => name !== "effect" || effects);
  const largest = Math.max(0, ...rows.map(({ score }) => Math.abs(score)));
  let [by, down, limit]: [Column, boolean, number] = ["rank", false, PAGE];

  const search = h("input", { type: "search", placeholder: "token", "aria-label": "Filter by token", input: () => draw(PAGE) });
  const layer = picker("Layer", "all layers", report.sites.map((_, site) => siteName(report, site)));
  const head = picker("Head", "all heads", Array.from({ length: Math.max(0, ...report.sites.map((s) => s.n_heads)) }, (_, n) => `head ${n}`));
  const sign = picker("Sign", "both signs", ["for it (+)", "against it (−)"]);
  const windowed = h("input", { type: "checkbox", change: () => draw(PAGE) });
  const count = h("span", { class: "count", role: "status" });
  const body = h("tbody");
  const more = h("button", { type: "button", class: "more", click: () => draw(limit + 4 * PAGE) }, "Show more");
  const heads = shown.map(([name, text]) =>
    h(
      "th",
      { scope: "col", "data-column": name },
      h("button", {
        type: "button",
        click: () => {
          down = by === name ? !down : name === "score" || name === "attention" || name === "effect";
          by = name;
          draw(limit);
        },
      }, text),
    ),
  );

  function picker(label: string, all: string, names: string[]): HTMLSelectElement {
    const options = [h("option", { value: "" }, all), ...names.map((name, value) => h("option", { value }, name))];
    return h("select", { "aria-label": label, change: () => draw(PAGE) }, ...options);
  }

  function wanted(row: Row): boolean {
    const text = search.value.trim().toLowerCase();
    const level = store.state.unit === "words" ? data.words : data.tokens;
    const [first, end] = store.state.window;
    const inside = (position: number) => level.unitOf[position]! >= first && level.unitOf[position]! < end;
    return (
      (!text || row.query.toLowerCase().includes(text) || row.key.toLowerCase().includes(text)) &&
      (!layer.value || row.layer === Number(layer.value)) &&
      (!head.value || row.head === Number(head.value)) &&
      (!sign.value || row.score > 0 === (sign.value === "0")) &&
      (!windowed.checked || (inside(row.ref.query[0]!) && inside(row.ref.key[0]!)))
    );
  }

  function draw(upTo: number): void {
    limit = upTo;
    const order = (a: Row, b: Row) => {
      const [x, y] = [a[by] ?? -Infinity, b[by] ?? -Infinity];
      return (x < y ? -1 : x > y ? 1 : a.rank - b.rank) * (down ? -1 : 1);
    };
    const found = rows.filter(wanted).sort(order);
    for (const each of heads) {
      const mine = each.dataset.column === by;
      each.setAttribute("aria-sort", mine ? (down ? "descending" : "ascending") : "none");
    }
    body.replaceChildren(...found.slice(0, limit).map(line));
    more.hidden = found.length <= limit;
    count.textContent = `${found.length} of the ${rows.length} strongest`;
    paint();
  }

  const refs = new WeakMap<Element, EdgeRef>();
  function line(row: Row): HTMLElement {
    const bar = h("span", { class: row.score < 0 ? "meter minus" : "meter" });
    const most = Math.max(largest, store.state.scale?.edge ?? 0);
    bar.style.setProperty("--w", `${(56 * Math.abs(row.score)) / (most || 1)}px`);
    bar.style.setProperty("--s", (0.35 + 0.65 * strength(row.score, most)).toFixed(2));
    const element = h(
      "tr",
      {
        tabindex: -1,
        pointerenter: () => store.set({ hover: row.ref }),
        pointerleave: () => store.set({ hover: null }),
        focus: () => store.set({ hover: row.ref }),
        blur: () => store.set({ hover: null }),
        click: () => store.set({ pinned: sameEdge(store.state.pinned, row.ref) ? null : row.ref, head: [row.layer, row.head] }),
      },
      h("td", { class: "number" }, String(row.rank)),
      h("td", {}, siteName(report, row.layer)),
      h("td", { class: "number" }, String(row.head)),
      h("td", {}, h("bdi", {}, row.query), " ", h("small", {}, String(row.ref.query[0]))),
      h("td", {}, h("bdi", {}, row.key), " ", h("small", {}, String(row.ref.key[0]))),
      h("td", { class: "number" }, bar, signed(row.score)),
      h("td", { class: "number" }, plain(row.attention)),
      effects ? h("td", { class: "number" }, signed(row.effect)) : null,
    );
    refs.set(element, row.ref);
    return element;
  }

  function paint(): void {
    for (const element of body.children)
      element.classList.toggle("pinned", sameEdge(refs.get(element) ?? null, store.state.pinned));
  }

  const long = data.tokens.n > 60;
  const frame = h(
    "div",
    { class: "edge-list" },
    h("div", { class: "controls", "data-noexport": true }, search, layer, head, sign, long ? h("label", {}, windowed, " only the window") : null, count),
    h("table", {}, h("thead", {}, h("tr", {}, ...heads)), body),
    more,
  );
  roving(body, "tr");
  store.on(["window", "unit", "scale"], () => draw(PAGE));
  store.on(["pinned"], paint);
  return frame;
}
