// The prompt: its turns as turns, its sources as blocks that say what taking them out does, its words.
import { h, legible, over, palette, roving } from "./dom";
import { signed, strength } from "./format";
import { word, type Word } from "./pieces";
import type { GenerationFacts, SpanFacts } from "./types";

export interface Prompt {
  element: HTMLElement;
  words: Word[];
  /** What taking a source out does to this span; `largest` is full. */
  show(span: SpanFacts, largest: number): void;
  /** Lights the block of a source. */
  light(source: number | null): void;
  /** Marks the sources that are taken out. */
  out(names: string[]): void;
}

/** What happens at a block: it is pointed at (null: left), or is to be taken out by the page around, which can. */
export interface Heard {
  point(source: number | null): void;
  mark(tokens: number[]): void;
}

export function promptView(made: GenerationFacts, heard: Heard): Prompt {
  const { text, tokens, turn, source } = made.prompt;
  const words: Word[] = [];
  const blocks = new Map<number, { element: HTMLElement; head: HTMLElement; told: HTMLElement }[]>();
  const element = h("div", { class: "prompt" });
  for (const [first, end] of runs(turn)) {
    const number = turn[first]!;
    const role = number === null ? null : made.turns[number]!;
    const parts = runs(source, first, end).flatMap(([a, b]) => partOf(a, b));
    if (!parts.length) continue;
    const whole = parts.length === 1 && parts[0]!.classList.contains("source") && role !== null && made.columns[source[first]!]?.startsWith(role);
    const name = role !== null && !whole && h("p", { class: "role" }, h("bdi", {}, role));
    element.append(h("div", { class: role === null && made.turns.length ? "template" : "turn", "data-role": role }, name, ...parts));
  }
  roving(element, ".chip");

  function partOf(first: number, end: number): HTMLElement[] {
    const number = source[first]!;
    if (number === null) {
      // the ends of lines around a block are the block's
      while (first < end && !tokens[first]!.length && !text[first]!.trim()) first++;
      while (first < end && !tokens[end - 1]!.length && !text[end - 1]!.trim()) end--;
      return first < end ? [h("div", { class: "said", dir: "auto" }, ...said(first, end))] : [];
    }
    const told = h("span", { class: "told" });
    const take = h("button", { type: "button", class: "takes-source", "data-noexport": true, click: (event: MouseEvent) => takeOut(event, number) }, "Take out");
    const head = h("p", { class: "head" }, h("b", {}, h("bdi", {}, made.columns[number]!)), told, take);
    const block = h(
      "div",
      { class: "source", pointerenter: () => heard.point(number), pointerleave: () => heard.point(null) },
      head,
      h("div", { class: "said", dir: "auto" }, ...said(first, end)),
    );
    blocks.set(number, [...(blocks.get(number) ?? []), { element: block, head, told }]);
    return [block];
  }

  function said(first: number, end: number): (HTMLElement | string)[] {
    return text.slice(first, end).map((piece, k) => {
      const own = tokens[first + k]!;
      if (!own.length) return piece;
      const made = word(piece, own, { role: "button" });
      made.element.addEventListener("pointerenter", () => heard.mark(own));
      made.element.addEventListener("pointerleave", () => heard.mark([]));
      made.element.addEventListener("focus", () => heard.mark(own));
      made.element.addEventListener("blur", () => heard.mark([]));
      words.push(made);
      return made.element;
    });
  }

  /** Asks the page around, which has the model; it marks the page with `takes-sources` if it can. */
  function takeOut(event: MouseEvent, number: number): void {
    event.currentTarget!.dispatchEvent(new CustomEvent("attattr-takeout-source", { detail: made.columns[number], bubbles: true }));
  }

  return {
    element,
    words,
    show({ effect, score }, largest) {
      const { plus, minus, paper, ink } = palette(element, "plus", "minus", "paper", "ink");
      for (const [number, each] of blocks)
        for (const { element: block, head, told } of each) {
          const value = effect[number] ?? null;
          const s = strength(value ?? 0, largest);
          block.classList.toggle("minus", (value ?? 0) < 0 && s > 0);
          block.style.setProperty("--s", s.toFixed(3));
          head.style.color = legible(ink, over((value ?? 0) < 0 ? minus : plus, paper, s)) ?? "";
          told.replaceChildren(h("span", { class: "effect" }, value === null ? "not measured" : signed(value)), h("small", {}, ` edges ${signed(score[number])}`));
        }
    },
    out(names) {
      for (const [of, each] of blocks)
        for (const { element: block } of each) {
          const gone = names.includes(made.columns[of]!);
          block.classList.toggle("out", gone);
          block.querySelector(".takes-source")!.textContent = gone ? "Put back" : "Take out";
        }
    },
    light(number) {
      for (const [of, each] of blocks) for (const { element: block } of each) block.classList.toggle("lit", of === number);
    },
  };
}

/** Stretches of one value. */
function runs(values: (number | null)[], first = 0, end = values.length): [number, number][] {
  const found: [number, number][] = [];
  for (let at = first; at < end; at++) {
    const last = found.at(-1);
    if (last && values[last[0]] === values[at]) last[1] = at + 1;
    else found.push([at, at + 1]);
  }
  return found;
}
