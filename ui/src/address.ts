// The view as the end of an address: what differs from how the report opens, readable, one `key=value` a choice.
import type { Data } from "./data";
import { flowOf } from "./flow";
import type { EdgeRef, State } from "./state";
import { leastThreshold } from "./tree-build";

/** Characters of a fragment: more does not pass whole through mail and chat. */
export const LONGEST = 8000;

/** What an address cannot mean here, as a sentence. */
export class Foreign extends Error {}

/** What can be chosen, where it is one of a few. */
const CHOICES = {
  unit: ["words", "tokens"],
  mode: ["flow", "tree", "edges"],
  lines: ["strongest", "head", "none"],
  measure: ["attribution", "attention", "effect"],
} as const;

/** The parts of the state that an address holds. */
export const KEPT = ["unit", "mode", "lines", "measure", "layer", "threshold", "shown", "count", "head", "window", "pinned"] as const;
/** Changes that Back takes back, each on its own. */
export const STEPS: readonly string[] = ["unit", "mode", "lines", "measure", "layer", "pinned", "head"];

type Kept = Pick<State, (typeof KEPT)[number]>;

function texts(state: Kept, data: Data): Record<keyof Kept, string> {
  const { unit, mode, lines, measure, layer, threshold, shown, count, head, window, pinned } = state;
  const whole = window[0] === 0 && window[1] === data[unit].n;
  return {
    unit, mode, lines, measure, layer: String(layer), threshold: String(threshold), count: String(count), head: head.join("."),
    shown: shown === flowOf(data, data[unit])?.usual ? "" : String(shown),
    window: whole ? "" : window.join("-"), pinned: pinned ? edgeText(pinned) : "",
  };
}

/** The choices that differ from `first`, as they stand in an address. */
export function written(state: State, first: State, data: Data): [string, string][] {
  const [now, before] = [texts(state, data), texts(first, data)];
  return KEPT.filter((key) => now[key] !== before[key]).map((key) => [key, now[key]]);
}

/** The state that such choices lead to from `first`.
 *
 * Throws Foreign where one is not of this report: then none is taken. */
export function readView(choices: Iterable<[string, string]>, first: State, data: Data): Kept {
  const given = new Map(choices);
  const made = Object.fromEntries(KEPT.map((key) => [key, first[key]])) as unknown as Kept;
  for (const [key, value] of given) {
    if (!(KEPT as readonly string[]).includes(key)) throw new Foreign(`The address has “${short(key)}”, which is nothing of this page`);
    if (key in CHOICES) Object.assign(made, { [key]: chosen(key as keyof typeof CHOICES, value, data) });
  }
  const level = data[made.unit];
  const number = (key: string, least: number, most: number, of: number) => (given.has(key) ? numberIn(given.get(key)!, key, least, most) : of);
  made.threshold = Math.max(number("threshold", 0, 1, first.threshold), Math.ceil(100 * leastThreshold(level)) / 100);
  made.count = number("count", 1, 150, first.count);
  made.layer = number("layer", 0, data.report.sites.length - 1, first.layer);
  const flow = flowOf(data, level);
  made.shown = number("shown", 1, flow?.site.length ?? 0, flow?.usual ?? 0);
  if (given.has("head")) made.head = headOf(given.get("head")!, data);
  made.window = given.get("window") ? windowOf(given.get("window")!, level.n) : [0, level.n];
  made.pinned = given.get("pinned") ? edgeOf(given.get("pinned")!, data) : null;
  return made;
}

function chosen(key: keyof typeof CHOICES, value: string, { report, tokens }: Data): string {
  const missing =
    (value === "words" && !report.words) ||
    (value === "tree" && tokens.top === null) ||
    (value === "effect" && !report.effects) ||
    (["edges", "strongest"].includes(value) && !report.edges);
  if (missing || !(CHOICES[key] as readonly string[]).includes(value)) throw new Foreign(`The address asks for the ${key} “${short(value)}”, which is not here`);
  return value;
}

export function numberIn(text: string, what: string, least: number, most: number): number {
  const value = (what === "threshold" ? /^\d+(\.\d+)?$/ : /^\d+$/).test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most)) throw new Foreign(`The ${what} of the address is not a number from ${least} to ${most}`);
  return value;
}

function windowOf(text: string, n: number): [number, number] {
  const [, first, end] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  if (!(Number(first) < Number(end) && Number(end) <= n)) throw new Foreign("The window of the address is not one of this text");
  return [Number(first), Number(end)];
}

export function headOf(text: string, { report }: Data): readonly [number, number] {
  const [, site, head] = /^(\d+)\.(\d+)$/.exec(text) ?? [];
  if (!(Number(head) < (report.sites[Number(site)]?.n_heads ?? 0))) throw new Foreign("The address names a head that this result does not have");
  return [Number(site), Number(head)];
}

/** site.head.queries.keys, the positions of a word joined by “-”; head is “all” where the heads are summed. */
export function edgeText({ site, head, query, key }: EdgeRef): string {
  return [site, head ?? "all", query.join("-"), key.join("-")].join(".");
}

export function edgeOf(text: string, { report }: Data): EdgeRef {
  const [, site, head, query, key] = /^(\d+)\.(\d+|all)\.(\d+(?:-\d+)*)\.(\d+(?:-\d+)*)$/.exec(text) ?? [];
  const facts = report.sites[Number(site)];
  const positions = (list: string, axis: number) => {
    const all = list.split("-").map(Number);
    return all.every((position) => position < report.axes[axis]!.tokens.length) ? all : null;
  };
  const [queries, keys] = facts ? [positions(query!, facts.query_axis), positions(key!, facts.key_axis)] : [null, null];
  if (!facts || !queries || !keys || (head !== "all" && Number(head) >= facts.n_heads)) throw new Foreign("The address names an edge that this result does not have");
  return { site: Number(site), head: head === "all" ? null : Number(head), query: queries, key: keys };
}

/** Tells results apart: of another model, text or target it is another one (FNV-1a). */
export function fingerprint({ report: { model, texts: shown, target } }: Data): string {
  return digest([model, shown, target.label, target.output]);
}

export function digest(facts: unknown[]): string {
  let sum = 0x811c9dc5;
  for (const letter of JSON.stringify(facts)) sum = Math.imul(sum ^ letter.codePointAt(0)!, 0x01000193);
  return (sum >>> 0).toString(36);
}

/** What was in an address, in a sentence of ours. */
export function short(text: string): string {
  return text.length > 40 ? `${[...text].slice(0, 40).join("")}…` : text;
}
