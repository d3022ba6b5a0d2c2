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
}

export function prepare(report: Report): Data {
  const tokens = units(report.tokens);
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
      cache.set(id, unpack(packed));
    }
    return cache.get(id)!;
  }

  async function shares({ site, query, key }: EdgeRef): Promise<HeadShare[]> {
    const facts = report.sites[site]!;
    const width = report.axes[facts.key_axis]!.tokens.length;
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
      share.attention /= query.length; // of a word: what its pieces look at on average
      return share;
    });
    return (await Promise.all(all)).sort((a, b) => Math.abs(b.score) - Math.abs(a.score));
  }

  const name = (axis: number, position: number) => report.axes[axis]!.names[position] ?? "";
  return { report, tokens, words: report.words ? units(report.words) : tokens, grid, shares, name };
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

export async function unpack({ codes, scale, levels }: Grid): Promise<Float32Array> {
  const stream = new Blob([bytes(codes)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const packed = new Int8Array(await new Response(stream).arrayBuffer());
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
