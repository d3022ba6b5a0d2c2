// Edges and heads that are taken out of a result, and where that moves the prediction.
import { edgeOf, edgeText, Foreign, headOf } from "../address";
import { siteName, type Data } from "../data";
import { h } from "../dom";
import type { EdgeRef, State } from "../state";
import { aborted, said, without, type Change, type Edge } from "./api";

interface Out {
  name: string;
  id: string; // as it stands in the address
  edge?: Edge;
  head?: readonly [number, number];
}

export interface Strip {
  element: HTMLElement;
  /** Offers what is pinned or chosen in the report. */
  offer(state: State): void;
  take(edge: EdgeRef): void;
  takeSource(name: string): void;
  /** What is out, as it stands in the address. */
  out(): string[];
  /** Takes out what an address says, and puts the rest back. */
  restore(ids: string[]): void;
}

/** A strip above a report, of the result `id`; `changed` when something was taken out or put back by hand. */
export function takeOutStrip(id: string, data: Data, changed: () => void): Strip {
  const offers = h("span", { class: "offers" });
  const chips = h("span", { class: "chips" });
  const moved = h("span", { class: "moved", role: "status" });
  const element = h("section", { class: "takeout", "aria-label": "Take out" }, offers, chips, moved);
  let out: Out[] = [];
  let seen: State | null = null;
  let turn: AbortController | null = null;

  function offer(): void {
    const state = seen;
    if (!state) return;
    const all = [state.pinned && ofEdge(data, state.pinned), ofHead(data, state.head)];
    const wanted = all.filter((each) => each !== null && !out.some(({ id }) => id === each.id)) as Out[];
    offers.replaceChildren(
      ...wanted.map((each) =>
        h(
          "button",
          { type: "button", class: "add", "aria-label": `Take out ${each.name}`, click: () => byHand([...out, each]) },
          "Take out ",
          h("bdi", {}, each.name),
        ),
      ),
      ...(state.pinned || out.some((each) => each.edge)
        ? []
        : [h("span", { class: "hint" }, "Pin an edge in the graph or the list, or choose a head, to take it out.")]),
    );
  }

  function byHand(next: Out[]): void {
    put(next);
    changed();
  }

  function put(next: Out[]): void {
    out = next;
    chips.replaceChildren(
      ...out.map((each) =>
        h(
          "button",
          {
            type: "button",
            class: "chip",
            "aria-label": `Put back ${each.name}`,
            click: () => byHand(out.filter(({ id }) => id !== each.id)),
          },
          h("bdi", {}, each.name),
          " ×",
        ),
      ),
      ...(out.length > 1 ? [h("button", { type: "button", class: "all", click: () => byHand([]) }, "put all back")] : []),
    );
    offer();
    void measure();
  }

  async function measure(): Promise<void> {
    turn?.abort();
    if (!out.length) {
      moved.replaceChildren();
      return;
    }
    const mine = (turn = new AbortController());
    moved.classList.add("stale");
    const edges = out.flatMap(({ edge }) => edge ?? []);
    const heads = out.flatMap(({ head }) => (head ? [[...head] as [number, number]] : []));
    try {
      const change = await without({ id, edges, heads }, () => {}, mine.signal);
      moved.replaceChildren(...shown(change));
    } catch (error) {
      if (aborted(error)) return;
      moved.replaceChildren(h("span", { class: "error" }, said(error)));
    }
    moved.classList.remove("stale");
  }

  return {
    element,
    offer(state) {
      const same = seen?.pinned === state.pinned && seen.head === state.head;
      seen = state;
      if (!same) offer();
    },
    take(edge) {
      const each = ofEdge(data, edge);
      if (!out.some(({ id }) => id === each.id)) byHand([...out, each]);
    },
    takeSource() {},
    out: () => out.map((each) => each.id),
    restore(ids) {
      if (String(ids) === String(out.map((each) => each.id))) return;
      try {
        put(ids.map((text) => ofAddress(data, text)));
      } catch (error) {
        if (!(error instanceof Foreign)) throw error;
        put([]);
        moved.replaceChildren(h("span", { class: "error" }, `${error.message}: nothing is taken out.`));
      }
    },
  };
}

const HEAD = "head.";

function ofAddress(data: Data, text: string): Out {
  return text.startsWith(HEAD) ? ofHead(data, headOf(text.slice(HEAD.length), data))! : ofEdge(data, edgeOf(text, data));
}

function ofEdge(data: Data, ref: EdgeRef): Out {
  const { site, head, query, key } = ref;
  const facts = data.report.sites[site]!;
  const word = (axis: number, positions: number[]) => positions.map((position) => data.name(axis, position)).join("");
  const where = `${siteName(data.report, site)}, ${head === null ? "all heads" : `head ${head}`}`;
  const name = `${word(facts.query_axis, query)} → ${word(facts.key_axis, key)} (${where})`;
  return { name, id: edgeText(ref), edge: { site, head, query: [...query], key: [...key] } };
}

function ofHead(data: Data, [site, head]: readonly [number, number]): Out | null {
  if (!data.report.sites[site]) return null;
  return { name: `${siteName(data.report, site)}, head ${head}`, id: `${HEAD}${site}.${head}`, head: [site, head] };
}

const CLASSES = 4; // shown at most

/** Each class before and after; or what was explained, where there are no classes. */
function shown({ output, label, clean, without, probabilities }: Change): HTMLElement[] {
  if (!probabilities) return [line(label, clean.toPrecision(4), without.toPrecision(4), null, true)];
  const percent = (share: number) => `${(100 * share).toFixed(1)}`;
  const largest = Math.max(...probabilities.map(([, , after]) => after));
  const rows = [...probabilities].sort((a, b) => Math.max(b[1], b[2]) - Math.max(a[1], a[2])).slice(0, CLASSES);
  const lines = rows.map(([name, before, after]) =>
    line(name, percent(before), `${percent(after)} %`, [before, after], after === largest),
  );
  if (output === "probability") return lines;
  return [...lines, line(`${output.replace("_", " ")} of ${label}`, clean.toPrecision(4), without.toPrecision(4), null, false)];
}

function line(name: string, before: string, after: string, shares: [number, number] | null, isFirst: boolean): HTMLElement {
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("span", { class: "after" }), h("span", { class: "before" }));
  if (shares) {
    bar.style.setProperty("--before", `${100 * shares[0]}%`);
    bar.style.setProperty("--after", `${100 * shares[1]}%`);
  }
  return h("span", { class: isFirst ? "class first" : "class" }, h("bdi", {}, name), shares && bar, h("span", { class: "numbers" }, `${before} → ${after}`));
}
