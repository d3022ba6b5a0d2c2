// The report as numbers: what was packed for the way is unpacked, single heads only when they are looked at.
import type { Grid, Level, Report, SiteFacts } from "./types";
import type { EdgeRef } from "./state";

export interface LayerEntries {
  site: number;
  index: Uint32Array; // query * n + key
  score: Float32Array;
  least: number;
}

export interface Units extends Omit<Level, "layers"> {
  n: number;
  unitOf: number[]; // of each position
  layers: LayerEntries[];
}

export interface HeadShare {
  head: number;
  score: number;
  attention: number;
  exact: boolean;
}

export interface Data {
  report: Report;
  tokens: Units;
  words: Units;
  /** one head's matrix, row by row; null where the result does not hold it */
  grid(site: number, head: number, what: "scores" | "attention"): Promise<Float32Array> | null;
  /** what each head has of an edge, strongest first */
  shares(edge: EdgeRef): Promise<HeadShare[]>;
  name(axis: number, position: number): string;
  /** the exact score of an edge of the flow graph or of a tree, by its positions; null where none is held */
  exact(edge: EdgeRef): number | null;
}

export function prepare(report: Report): Data {
  const tokens = units(report.tokens);
  const words = report.words ? units(report.words) : tokens;
  const inFlow = new Map<string, { score: number; heads: Map<number, number> }>();
  for (const { flow } of [tokens, words])
    flow?.site.forEach((site, e) => {
      const { query_axis, key_axis } = report.sites[site]!;
      const heads = new Map(flow.heads[e]!.map((head, k) => [head, flow.head_scores[e]![k]!]));
      const ends = `${flow.axes[query_axis]!.members[flow.query[e]!]}>${flow.axes[key_axis]!.members[flow.key[e]!]}`;
      inFlow.set(`${site},${ends}`, { score: flow.score[e]!, heads });
    });
  const flowEdge = ({ site, query, key }: EdgeRef) => inFlow.get(`${site},${query}>${key}`);
  const cache = new Map<string, Promise<Float32Array>>();
  const exact = new Map<string, number>();
  report.edges?.site.forEach((site, e) => {
    const { head, query, key } = report.edges!;
    exact.set([site, head[e], query[e], key[e]].join(), e);
  });

  function grid(site: number, head: number, what: "scores" | "attention") {
    const packed = report.sites[site]?.[what]?.[head];
    if (!packed) return null;
    const id = `${site},${head},${what}`;
    if (!cache.has(id)) {
      if (cache.size > 96) cache.delete(cache.keys().next().value!);
      cache.set(id, unpack(packed).then((values) => made(values, site, head, what)));
    }
    return cache.get(id)!;
  }

  /** With the strongest edges as they are exactly. */
  function made(values: Float32Array, site: number, head: number, what: "scores" | "attention"): Float32Array {
    const { edges } = report;
    const width = report.axes[report.sites[site]!.key_axis]!.tokens.length;
    edges?.site.forEach((of, e) => {
      if (of === site && edges.head[e] === head) values[edges.query[e]! * width + edges.key[e]!] = edges[what === "scores" ? "score" : "attention"][e]!;
    });
    return values;
  }

  async function shares({ site, query, key }: EdgeRef): Promise<HeadShare[]> {
    const facts = report.sites[site]!;
    const width = report.axes[facts.key_axis]!.tokens.length;
    const known = flowEdge({ site, head: null, query, key });
    const all = Array.from({ length: facts.n_heads }, async (_, head) => {
      const [scores, attention] = await Promise.all([grid(site, head, "scores"), grid(site, head, "attention")]);
      const share: HeadShare = { head, score: 0, attention: 0, exact: !!scores };
      for (const i of query)
        for (const j of key) {
          const e = exact.get([site, head, i, j].join());
          if (e !== undefined) {
            share.score += report.edges!.score[e]!;
            share.attention += report.edges!.attention[e]!;
          } else {
            share.exact = false;
            share.score += scores?.[i * width + j] ?? 0;
            share.attention += attention?.[i * width + j] ?? 0;
          }
        }
      const sum = known?.heads.get(head);
      if (sum !== undefined) Object.assign(share, { score: sum, exact: true });
      share.attention /= query.length; // of a word: what its pieces look at on average
      return share;
    });
    return (await Promise.all(all)).sort((a, b) => Math.abs(b.score) - Math.abs(a.score));
  }

  const name = (axis: number, position: number) => report.axes[axis]!.names[position] ?? "";

  function exactOf(edge: EdgeRef): number | null {
    const { site, head, query, key } = edge;
    if (head !== null) {
      const e = exact.get([site, head, query[0], key[0]].join());
      return e === undefined ? null : report.edges!.score[e]!;
    }
    const known = flowEdge(edge);
    if (known) return known.score;
    for (const level of [tokens, words]) {
      const layer = level.layers.find((each) => each.site === site);
      const [i, j] = [level.unitOf[query[0]!], level.unitOf[key[0]!]];
      if (!layer || i === undefined || j === undefined || `${level.members[i]}>${level.members[j]}` !== `${query}>${key}`) continue;
      const at = layer.index.indexOf(i * level.n + j);
      if (at >= 0) return layer.score[at]!;
    }
    return null;
  }

  return { report, tokens, words, grid, shares, name, exact: exactOf };
}

/** What attending to each unit of these members gave in one layer: its column of scores, summed. */
export function wordEffects(report: Report, site: number, members: number[][]): number[] | null {
  const sums = report.sites[site]?.key_sum;
  return sums ? members.map((positions) => positions.reduce((sum, i) => sum + sums[i]!, 0)) : null;
}

/** The same for the first axis; null where the layer looks at another one. */
export function effectsOf(report: Report, site: number, level: Units): number[] | null {
  return report.sites[site]?.key_axis === 0 ? wordEffects(report, site, level.members) : null;
}

export function units(level: Level): Units {
  const unitOf: number[] = [];
  level.members.forEach((members, unit) => members.forEach((position) => (unitOf[position] = unit)));
  const layers = level.layers.map(({ site, entries }) => ({
    site,
    index: new Uint32Array(bytes(entries.index).buffer),
    score: new Float32Array(bytes(entries.score).buffer),
    least: entries.least,
  }));
  return { ...level, n: level.names.length, unitOf, layers };
}

/** What Python deflated. */
export function inflated(text: string): Response {
  return new Response(new Response(bytes(text)).body!.pipeThrough(new DecompressionStream("deflate")));
}

export async function unpack({ codes, scale, levels }: Grid): Promise<Float32Array> {
  const packed = new Int8Array(await inflated(codes).arrayBuffer());
  const values = new Float32Array(packed.length);
  for (let i = 0; i < packed.length; i++) {
    const code = packed[i]!;
    if (code) values[i] = Math.sign(code) * scale * (code / levels) ** 2;
  }
  return values;
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const array = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) array[i] = binary.charCodeAt(i);
  return array;
}

/** "layer 3" of a model with one stack; with several stacks also which. */
export function siteName(report: Report, site: number): string {
  const facts = report.sites[site]!;
  const kinds = new Set(report.sites.map((each) => each.kind));
  if (kinds.size < 2) return `layer ${site}`;
  const within = report.sites.slice(0, site).filter((each: SiteFacts) => each.kind === facts.kind).length;
  return `${facts.kind} ${within}`;
}
