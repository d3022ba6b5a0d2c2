// A text by its words, each on a ground as strong as what the chosen span's edges to it carry; as it was written.
import { h, legible, over, palette } from "./dom";
import { signed, strength } from "./format";

const NAMES = ["paper", "ink", "plus", "minus"] as const;

export interface Word {
  tokens: number[];
  element: HTMLElement;
}

/** What to say of the words: values by position; null where nothing is known. */
export type Values = readonly number[] | null;

export function word(text: string, tokens: number[], more: Record<string, string | number> = {}): Word {
  return { tokens, element: h("span", { class: "chip", ...more }, text) };
}

export const valueOf = ({ tokens }: Word, values: Values): number | null => (values && tokens.length ? tokens.reduce((sum, at) => sum + (values[at] ?? 0), 0) : null);

/** Colours words on one scale; `largest` is what is full. */
export function shade(words: Word[], values: Values, largest: number): void {
  const { element } = words[0] ?? {};
  if (!element) return;
  const colours = palette(element, ...NAMES);
  for (const each of words) {
    const value = valueOf(each, values) ?? 0;
    const s = strength(value, largest);
    each.element.style.setProperty("--s", s.toFixed(3));
    each.element.classList.toggle("minus", value < 0);
    each.element.style.color = legible(colours.ink, over(colours[value < 0 ? "minus" : "plus"], colours.paper, s)) ?? "";
    if (values && each.tokens.length) each.element.title = signed(value);
    else each.element.removeAttribute("title");
  }
}

/** Marks the words at which an edge ends, or that are looked at. */
export function light(words: Word[], queries: readonly number[], keys: readonly number[]): HTMLElement | null {
  const has = (tokens: number[], positions: readonly number[]) => tokens.some((at) => positions.includes(at));
  let far: HTMLElement | null = null;
  for (const { tokens, element } of words) {
    element.classList.toggle("query", has(tokens, queries));
    element.classList.toggle("key", has(tokens, keys));
    if (has(tokens, keys)) far ??= element;
  }
  return far;
}
