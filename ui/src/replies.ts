// The reply, its spans to be chosen; of a comparison the other reply below it.
import { h, roving } from "./dom";
import { percent, plain } from "./format";
import { word, type Word } from "./pieces";
import { spansOf } from "./answer";
import type { GenerationFacts, ReplyFacts, SpanFacts } from "./types";

export interface Replies {
  element: HTMLElement;
  /** of the reply, and of the contrast */
  words: [Word[], Word[]];
  choose(span: number): void;
}

export function repliesView(made: GenerationFacts, choose: (span: number) => void): Replies {
  const spans = spansOf(made);
  const buttons: HTMLElement[] = [];
  const words: [Word[], Word[]] = [[], []];
  const element = h("div", { class: "replies" }, ...said(made.words, 0, words[0], null));
  if (made.contrast_words) element.append(...said(made.contrast_words, made.spans.length, words[1], "rather than"));
  roving(element, ".span");

  function said({ text, tokens, span }: ReplyFacts, first: number, into: Word[], before: string | null): HTMLElement[] {
    const line = h("p", { class: before ? "reply contrast" : "reply", dir: "auto" });
    let button: HTMLElement | null = null;
    let of: number | null = null;
    text.forEach((piece, k) => {
      const own = span[k]!;
      if (own !== of) line.append((button = own === null ? h("span", {}) : spanOf(first + own)));
      of = own;
      if (!tokens[k]!.length) return (button ?? line).append(piece);
      const made = word(piece, tokens[k]!);
      into.push(made);
      (button ?? line).append(made.element);
    });
    return before ? [h("p", { class: "before" }, before), line] : [line];
  }

  function spanOf(number: number): HTMLElement {
    const { value } = spans[number] as SpanFacts;
    const button = h("span", { class: "span", role: "button", tabindex: -1, title: `log-probability ${plain(value)}, ${percent(value === null ? null : Math.exp(value))}`, click: () => choose(number) });
    buttons[number] = button;
    return button;
  }

  return {
    element,
    words,
    choose(chosen) {
      buttons.forEach((button, number) => button.setAttribute("aria-pressed", String(number === chosen)));
    },
  };
}
