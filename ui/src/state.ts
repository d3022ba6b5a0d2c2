// What the reader has chosen. Views listen to the parts they show.

/** An edge by its positions; `head` is null where the heads are summed. */
export interface EdgeRef {
  site: number;
  head: number | null;
  query: number[];
  key: number[];
}

export interface Scale {
  words: number[]; // of each layer, the largest of what attending to one gave
  tokens: number[];
  flow: number; // what width 1 stands for in the graph, and what its legend shows
  unit: number;
  edge: number; // of the list
  attribution: number; // of heads
  attention: number;
  effect: number;
}

export interface State {
  unit: "tokens" | "words";
  mode: "flow" | "tree" | "edges";
  threshold: number;
  /** edges of the flow graph; of single heads */
  shown: number;
  count: number;
  /** the site whose scores colour the text */
  layer: number;
  /** between the patches of an image */
  lines: "strongest" | "head" | "none";
  /** whose colours hold; print has a width of its own too; null before the page stands */
  theme: "light" | "dark" | "print" | null;
  measure: "attribution" | "attention" | "effect";
  head: readonly [number, number];
  hover: EdgeRef | null;
  pinned: EdgeRef | null;
  /** positions that are looked at, or found by the search */
  marked: number[];
  /** the largest of this report and of one that it is compared with: both are drawn with it */
  scale: Scale | null;
  /** first unit and one behind the last */
  window: readonly [number, number];
}

export class Store<S extends object = State> {
  private listeners: { keys: (keyof S)[]; tell: () => void }[] = [];

  constructor(public state: S) {}

  set(change: Partial<S>): void {
    const keys = (Object.keys(change) as (keyof S)[]).filter((key) => change[key] !== this.state[key]);
    if (!keys.length) return;
    this.state = { ...this.state, ...change };
    for (const each of this.listeners) if (each.keys.some((key) => keys.includes(key))) each.tell();
  }

  /** Called now, and whenever one of these changes. */
  on(keys: (keyof S)[], tell: () => void): void {
    this.listeners.push({ keys, tell });
    tell();
  }
}

export function sameEdge(a: EdgeRef | null, b: EdgeRef | null): boolean {
  if (!a || !b) return a === b;
  return a.site === b.site && a.head === b.head && `${a.query}>${a.key}` === `${b.query}>${b.key}`;
}

type Place = (position: number) => number | undefined;

/** Whether an edge is drawn by a mark: the same place, in that head or in all of them. */
export function covers(mark: EdgeRef, edge: EdgeRef, ofQuery: Place, ofKey: Place): boolean {
  if (mark.site !== edge.site || (mark.head !== null && edge.head !== null && mark.head !== edge.head)) return false;
  return ofQuery(mark.query[0]!) === ofQuery(edge.query[0]!) && ofKey(mark.key[0]!) === ofKey(edge.key[0]!);
}

/** Whether a position of the first axis is in the window. */
export function inWindow({ window: [first, end] }: State, unitOf: number[], position: number): boolean {
  return unitOf[position]! >= first && unitOf[position]! < end;
}
