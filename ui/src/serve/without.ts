// Sources that are taken out of a reply: how likely its spans are then, and what the model would say instead.
import { Foreign } from "../address";
import { h } from "../dom";
import { percent, plain, signed } from "../format";
import type { GenerationFacts } from "../types";
import { aborted, said, withoutSources, type Instead } from "./api";
import type { Strip } from "./takeout";

const ID = /^source\.(\d+)$/; // as it stands in the address

/** A strip above a reply, of the result `id`. `changed`: something was taken out or put back by hand; `show`: what is out. */
export function sourceStrip(id: string, made: GenerationFacts, changed: () => void, show: (names: string[]) => void): Strip {
  const names = made.columns.slice(0, made.sources.length);
  const chips = h("span", { class: "chips" });
  const hint = h("span", { class: "hint" }, "“Take out” at a source shows what the model would say without it.");
  const instead = h("div", { class: "instead", role: "status" });
  const element = h("section", { class: "takeout sources-out", "aria-label": "Take out" }, hint, chips, instead);
  let out: number[] = [];
  let turn: AbortController | null = null;

  function byHand(next: number[]): void {
    put(next);
    changed();
  }

  function put(next: number[]): void {
    out = next;
    hint.hidden = out.length > 0;
    chips.replaceChildren(
      ...out.map((each) =>
        h("button", { type: "button", class: "chip", "aria-label": `Put back ${names[each]}`, click: () => byHand(out.filter((other) => other !== each)) }, h("bdi", {}, names[each]!), " ×"),
      ),
      ...(out.length > 1 ? [h("button", { type: "button", class: "all", click: () => byHand([]) }, "put all back")] : []),
    );
    show(out.map((each) => names[each]!));
    void measure();
  }

  async function measure(): Promise<void> {
    turn?.abort();
    if (!out.length) {
      instead.replaceChildren();
      return;
    }
    const mine = (turn = new AbortController());
    const told = h("span", { class: "hint" }, "taking out");
    if (instead.childElementCount) instead.classList.add("stale");
    else instead.replaceChildren(told);
    try {
      const found = await withoutSources({ id, sources: out.map((each) => names[each]!) }, ({ what, done, total }) => what && (told.textContent = `${what}, ${done} of ${total}`), mine.signal);
      instead.replaceChildren(...shown(found));
    } catch (error) {
      if (aborted(error)) return;
      instead.replaceChildren(h("span", { class: "error" }, said(error)));
    }
    instead.classList.remove("stale");
  }

  return {
    element,
    offer() {},
    take() {},
    takeSource(name) {
      const at = names.indexOf(name);
      if (at >= 0) byHand(out.includes(at) ? out.filter((other) => other !== at) : [...out, at]);
    },
    out: () => out.map((each) => `source.${each}`),
    restore(ids) {
      if (String(ids) === String(out.map((each) => `source.${each}`))) return;
      try {
        put(ids.map((text) => placeOf(text, names.length)));
      } catch (error) {
        if (!(error instanceof Foreign)) throw error;
        put([]);
        instead.replaceChildren(h("span", { class: "error" }, `${error.message}: nothing is taken out.`));
      }
    },
  };
}

function placeOf(text: string, count: number): number {
  const place = Number(ID.exec(text)?.[1] ?? NaN);
  if (!(place < count)) throw new Foreign("The address names a source that this reply does not have");
  return place;
}

function shown({ spans, reply, stopped, sources }: Instead): HTMLElement[] {
  const same = spans.map(({ text }) => text).join(" ") === reply;
  const words = !reply ? h("i", {}, "nothing: it ends at once") : h("q", {}, h("bdi", {}, reply));
  const line = h("p", { class: "reply" }, `Without ${sources.join(" and ")} the model would say `, words, stopped === "length" ? " (cut)" : same ? ", the same" : "");
  const chance = (log: number) => `${percent(Math.exp(log))} (log p ${plain(log)})`;
  const rows = spans.map(({ text, clean, without }) =>
    h("tr", {}, h("th", { scope: "row", title: text }, h("bdi", {}, text)), h("td", {}, chance(clean)), h("td", {}, "→ ", h("b", {}, chance(without))), h("td", {}, signed(without - clean))),
  );
  return [line, h("div", { class: "scrolls" }, h("table", {}, h("tbody", {}, ...rows)))];
}
