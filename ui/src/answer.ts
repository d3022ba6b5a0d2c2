// What a span of a reply rests on, in sentences.
import { percent, plain, signed, tiny } from "./format";
import type { GenerationFacts, SpanFacts } from "./types";

const WORTH = 0.05; // of the largest effect: less is not worth a word
const SHOWN = 2;

export interface Answer {
  said: string;
  /** what stands behind “said”: the source's name; null where none had helped */
  source: string | null;
  lines: string[];
}

/** The spans, and the contrast behind them. */
export function spansOf({ spans, contrast }: GenerationFacts): SpanFacts[] {
  return contrast ? [...spans, contrast] : spans;
}

/** The columns of a span by its effects, the largest first; what was not measured is left out. */
export function byEffect({ effect }: SpanFacts): number[] {
  const measured = effect.flatMap((value, column) => (value === null ? [] : column));
  return measured.sort((a, b) => effect[b]! - effect[a]!);
}

/** The column of the largest score; null where there is none. */
export function byScore({ score }: SpanFacts): number | null {
  const best = score.reduce<number>((top, value, column) => (value !== null && (top < 0 || value > score[top]!) ? column : top), -1);
  return best < 0 ? null : best;
}

/** Of all spans the largest |effect|: one scale for all. */
export function largestEffect(made: GenerationFacts): number {
  return Math.max(0, ...spansOf(made).flatMap(({ effect }) => effect.map((value) => Math.abs(value ?? 0))));
}

export function answer(made: GenerationFacts, number: number): Answer {
  const { columns, contrast } = made;
  const span = spansOf(made)[number]!;
  const order = byEffect(span);
  const first = order.find((column) => span.effect[column]! > 0) ?? null;
  const quoted = contrast ? `“${short(made.spans[0]!.text)}” rather than “${short(contrast.text)}”` : `“${short(span.text)}”`;
  const value = contrast ? made.value : span.value;
  const chance = (log: number) => (contrast ? signed(log) : `${plain(log)} (${percent(Math.exp(log))})`);
  const lines: string[] = [];
  if (value !== null) {
    const left = first === null ? "" : `, without ${columns[first]} ${chance(value - span.effect[first]!)}`;
    lines.push(`${contrast ? "The log-probability of the one less that of the other" : "Log-probability"} with the whole prompt ${chance(value)}${left}.`);
  }
  const worth = order.filter((column) => first !== null && column !== first && Math.abs(span.effect[column]!) > WORTH * span.effect[first]!);
  const named = (list: number[]) => list.slice(0, SHOWN).map((column) => `${columns[column]} (${signed(span.effect[column]!)})`).join(", ");
  const [more, against] = [worth.filter((column) => span.effect[column]! > 0), worth.filter((column) => span.effect[column]! < 0).reverse()];
  if (more.length) lines.push(`Then ${named(more)}.`);
  if (against.length) lines.push(`Against it ${named(against)}.`);
  const scored = byScore(span);
  if (first !== null && scored !== null && scored !== first)
    lines.push(`The edges put ${columns[scored]} first (${signed(span.score[scored])}, ${columns[first]} ${signed(span.score[first])}): where the two disagree, the effect is what was measured.`);
  const unknown = columns.filter((_, column) => span.score[column] !== null && span.effect[column] === null);
  if (unknown.length) lines.push(`Not measured: ${unknown.slice(0, 6).join(", ")}${unknown.length > 6 ? ` and ${unknown.length - 6} more` : ""}.`);
  lines.push(`Worst completeness gap ${tiny(made.worst_gap)}.`);
  const none = order.length ? "rests on no single source: nothing that was taken out had helped" : "has no source whose effect was measured";
  return { said: `${quoted} ${first === null ? none : "rests most on"}`, source: first === null ? null : columns[first]!, lines };
}

function short(text: string): string {
  const letters = [...text];
  return letters.length > 90 ? `${letters.slice(0, 88).join("").trimEnd()}…` : text;
}
