// Spans × sources: what taking a source out does to a span, on one scale, and what the edges to it add up to.
import { byEffect, byScore, largestEffect } from "./answer";
import { h, legible, over, palette, roving } from "./dom";
import { plain, signed, strength } from "./format";
import type { GenerationFacts } from "./types";

export interface Sources {
  element: HTMLElement;
  choose(span: number, source: number | null): void;
  /** In the colours that hold. */
  paint(): void;
}

export interface Heard {
  choose(span: number): void;
  point(source: number | null): void;
}

export function sourcesView(made: GenerationFacts, heard: Heard): Sources {
  const { columns, spans } = made;
  const largest = largestEffect(made);
  const cells: { element: HTMLElement; span: number; column: number; value: number }[] = [];
  const heads = columns.map((name) => h("th", { scope: "col", title: name }, h("bdi", {}, name)));
  const rows = spans.map((span, number) => {
    const [first] = byEffect(span);
    const scored = byScore(span);
    const own = span.effect.map((value, column) => {
      const there = span.score[column] !== null;
      const best = column === first && (value ?? 0) > 0;
      const name = `${columns[column]}: ${there ? (value === null ? "not measured" : `effect ${signed(value)}`) + `, edges ${signed(span.score[column])}` : "nothing written before"}`;
      const element = h(
        "td",
        {
          class: "cell", tabindex: -1, "aria-label": name,
          click: () => heard.choose(number), pointerenter: () => heard.point(column), pointerleave: () => heard.point(null),
          focus: () => heard.point(column), blur: () => heard.point(null),
        },
        h("span", { class: best ? "effect best" : "effect" }, !there ? "–" : value === null ? "not measured" : signed(value)),
        h("small", { class: column === scored ? "best" : null }, there ? signed(span.score[column]) : ""),
      );
      cells.push({ element, span: number, column, value: value ?? 0 });
      return element;
    });
    return h(
      "tr",
      { click: () => heard.choose(number) },
      h("th", { scope: "row", title: span.text }, h("bdi", {}, span.text)),
      h("td", { class: "number" }, plain(made.contrast ? made.value : span.value)),
      ...own,
    );
  });
  const lead = h("tr", {}, h("th", { scope: "col" }, "span"), h("th", { scope: "col", class: "number" }, made.contrast ? "difference" : "log p"), ...heads);
  const table = h("table", {}, h("thead", {}, lead), h("tbody", {}, ...rows));
  const key = h(
    "p",
    { class: "key" },
    h("span", { class: "number" }, signed(-largest)), h("span", { class: "ramp", "aria-hidden": "true" }), h("span", { class: "number" }, signed(largest)), " ",
    h("span", {}, `Large, and the ground: how much ${made.contrast ? "the difference of the two log-probabilities" : "log p of the span"} falls when the source is taken out, on one scale for all spans. Small: what the edges to it add up to. Bold: the largest of each.`),
  );
  const element = h("div", { class: "sources" }, h("div", { class: "scrolls" }, table), key);
  const wide = columns.length;
  roving(table, "td.cell", (_, at, pressed) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide, ArrowUp: -wide }[pressed];
    if (step) return at + step >= 0 && at + step < cells.length ? at + step : at;
    return pressed === "Home" ? 0 : pressed === "End" ? cells.length - 1 : null;
  });

  return {
    element,
    choose(chosen, source) {
      rows.forEach((row, number) => row.classList.toggle("chosen", number === Math.min(chosen, rows.length - 1)));
      heads.forEach((head, column) => head.classList.toggle("lit", column === source));
    },
    paint() {
      const { plus, minus, paper, ink } = palette(element, "plus", "minus", "paper", "ink");
      for (const { element: cell, value } of cells) {
        const s = strength(value, largest);
        cell.style.setProperty("--s", s.toFixed(3));
        cell.classList.toggle("minus", value < 0);
        cell.style.color = legible(ink, over(value < 0 ? minus : plus, paper, s)) ?? "";
      }
    },
  };
}
