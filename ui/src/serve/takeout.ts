// Edges and heads that are taken out of a result, and where that moves the prediction.
import { h } from "../dom";
import { aborted, said, without, type Change, type Edge } from "./api";
import type { Report } from "../types";

interface Out {
  name: string;
  id: string;
  edge?: Edge;
  head?: [number, number];
}

/** A strip above a report's frame, which reads from it what is pinned. */
export function takeOutStrip(id: string, frame: HTMLIFrameElement): HTMLElement {
  const offers = h("span", { class: "offers" });
  const chips = h("span", { class: "chips" });
  const moved = h("span", { class: "moved", role: "status" });
  const strip = h("section", { class: "takeout", "aria-label": "Take out" }, offers, chips, moved);
  let out: Out[] = [];
  let turn: AbortController | null = null;

  frame.addEventListener("load", () => {
    const inside = frame.contentDocument;
    const data = inside?.getElementById("data");
    if (!inside || !data) return;
    const report: Report = JSON.parse(data.textContent!);
    // the report's own listeners come first
    const look = () => setTimeout(() => offer(pinned(inside, report), chosenHead(inside)));
    inside.addEventListener("click", look);
    inside.addEventListener("keyup", look);
    look();
  });

  function offer(edge: Out | null, head: Out | null): void {
    const wanted = [edge, head].filter((each) => each !== null && !out.some(({ id }) => id === each.id)) as Out[];
    offers.replaceChildren(
      ...wanted.map((each) =>
        h(
          "button",
          { type: "button", class: "add", "aria-label": `Take out ${each.name}`, click: () => put([...out, each]) },
          "Take out ",
          h("bdi", {}, each.name),
        ),
      ),
      ...(edge || out.some((each) => each.edge)
        ? []
        : [h("span", { class: "hint" }, "Pin an edge in the graph or the list, or choose a head, to take it out.")]),
    );
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
            click: () => put(out.filter(({ id }) => id !== each.id)),
          },
          h("bdi", {}, each.name),
          " ×",
        ),
      ),
      ...(out.length > 1 ? [h("button", { type: "button", class: "all", click: () => put([]) }, "put all back")] : []),
    );
    if (frame.contentDocument) frame.contentDocument.dispatchEvent(new Event("keyup")); // offer anew
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
    const heads = out.flatMap(({ head }) => (head ? [head] : []));
    try {
      const change = await without({ id, edges, heads }, () => {}, mine.signal);
      moved.replaceChildren(...shown(change));
    } catch (error) {
      if (aborted(error)) return;
      moved.replaceChildren(h("span", { class: "error" }, said(error)));
    }
    moved.classList.remove("stale");
  }

  return strip;
}

/** The edge that is pinned in a report: in its drawing, which carries its data, or in its list, by rank. */
function pinned(inside: Document, report: Report): Out | null {
  const mark = inside.querySelector('.graph g.edge[aria-pressed="true"]') as (Element & { __data__?: { ref: Edge } }) | null;
  const row = inside.querySelector(".edge-list tr.pinned td");
  let edge = mark?.__data__?.ref;
  if (!edge && row && report.edges) {
    const at = Number(row.textContent) - 1;
    const { site, head, query, key } = report.edges;
    edge = { site: site[at]!, head: head[at]!, query: [query[at]!], key: [key[at]!] };
  }
  if (!edge) return null;
  const { site, head, query, key } = edge;
  const facts = report.sites[site]!;
  const word = (axis: number, positions: number[]) => positions.map((i) => report.axes[axis]!.names[i]).join("");
  const where = head === null ? `layer ${site}, all heads` : `layer ${site}, head ${head}`;
  const name = `${word(facts.query_axis, query)} → ${word(facts.key_axis, key)} (${where})`;
  return { name, id: `${site},${head},${query},${key}`, edge: { site, head, query: [...query], key: [...key] } };
}

function chosenHead(inside: Document): Out | null {
  const cell = inside.querySelector(".heads g.cell.chosen") as (Element & { __data__?: { site: number; head: number } }) | null;
  if (!cell?.__data__) return null;
  const { site, head } = cell.__data__;
  return { name: `layer ${site}, head ${head}`, id: `head ${site},${head}`, head: [site, head] };
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
