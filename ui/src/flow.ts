// The flow graph: which edges, how wide, how high and what is linked stands in the data (attattr.build_flow).
import type { Data, Units } from "./data";
import { count } from "./format";
import type { Column, Mark, Scene, Spot } from "./graph";
import type { State } from "./state";
import type { FlowFacts } from "./types";

/** Of these units, or of the tokens where the result holds nothing finer than edges. */
export function flowOf(data: Data, level: Units): FlowFacts | null {
  return level.flow ?? data.tokens.flow;
}

/** Why an edge is drawn apart from the rest when so many are shown; null: it is linked to the prediction. */
export function apart(flow: FlowFacts, edge: number, shown: number): string | null {
  const joins = flow.joins[edge] ?? null;
  if (joins !== null && joins <= shown) return null;
  const why = "No edges that are shown lead from here to where the prediction is read";
  return joins === null ? `${why}.` : `${why}; with ${count(joins, "edge")} they do.`;
}

/** "12, 71 % of the effect". */
export function shareSaid(flow: FlowFacts, shown: number): string {
  const share = flow.share?.[shown - 1];
  return share === undefined ? String(shown) : `${shown}, ${Math.round(100 * share)} % of the effect`;
}

export function flowScene(data: Data, level: Units, { shown }: State): Scene {
  const flow = flowOf(data, level);
  if (!flow) return { ...nothing, empty: "This result was made without edges." };
  const places = placesOf(data, flow);
  const marks = flow.site.slice(0, shown).map((site, e): Mark => {
    const { query_axis, key_axis } = data.report.sites[site]!;
    const [query, key] = [flow.axes[query_axis]!.members[flow.query[e]!]!, flow.axes[key_axis]!.members[flow.key[e]!]!];
    return places.mark({ site, head: null, query, key }, flow.score[e]!, flow.width[e]!, apart(flow, e, shown));
  });
  const lit = marks.filter((mark) => !mark.apart).flatMap(({ from, to }) => [from, to]);
  const said = `Flow graph of the ${shareSaid(flow, marks.length).replace(",", " strongest edges,")}`;
  return { ...places.scene(marks, lit), said };
}

/** The strongest edges of single heads, in the flow graph's places. */
export function edgesScene(data: Data, level: Units, state: State): Scene {
  const flow = flowOf(data, level);
  const { edges } = data.report;
  if (!flow || !edges) return { ...nothing, empty: "This result was made without edges." };
  const places = placesOf(data, flow);
  const marks = edges.site.slice(0, state.count).map((site, e) => {
    const score = edges.score[e]!;
    const ref = { site, head: edges.head[e]!, query: [edges.query[e]!], key: [edges.key[e]!] };
    return places.mark(ref, score, widthOf(flow, score), null);
  });
  return { ...places.scene(marks, []), said: `The ${count(marks.length, "strongest edge")} of single heads` };
}

const HAIRLINE = 0.005; // as in attattr.result.flow

/** What `FlowFacts.width` is, for other edges than its own. */
export function widthOf({ scale }: FlowFacts, score: number): number {
  const width = Math.abs(score) / scale;
  return width < HAIRLINE ? 0 : width;
}

export const nothing: Scene = {
  said: "No edges", empty: "", columns: [], rows: 1, bands: [], marks: [], lives: [], nodes: [], root: null, scale: 1, unit: 0.1,
};

function placesOf({ report }: Data, flow: FlowFacts) {
  const columns: Column[] = [];
  const unitOf = new Map<string, number>(); // column of "axis,position"
  flow.axes.forEach(({ names, members }, axis) => {
    if (columns.length) columns.push({ axis: -1, name: "", members: [] });
    names.forEach((name, unit) => {
      for (const position of members[unit]!) unitOf.set(`${axis},${position}`, columns.length);
      columns.push({ axis, name, members: members[unit]! });
    });
  });
  const base = (axis: number) => flow.axes[axis]!.base;
  const spot = (axis: number, position: number, height: number): Spot => ({ column: unitOf.get(`${axis},${position}`)!, row: base(axis) + height });
  const bands = report.sites.map(({ query_axis }, site) => ({ site, row: base(query_axis) + flow.level[site]! - 0.5 }));
  const highest = (axis: number) => Math.max(0, ...report.sites.flatMap((site, n) => (site.query_axis === axis ? flow.level[n]! : [])));
  const rows = Math.max(1, ...flow.axes.map((_, axis) => base(axis) + highest(axis)));

  function mark(ref: Mark["ref"], score: number, width: number, why: string | null): Mark {
    const { query_axis, key_axis } = report.sites[ref.site]!;
    const [from, to] = [spot(query_axis, ref.query[0]!, flow.level[ref.site]!), spot(key_axis, ref.key[0]!, flow.key_level[ref.site]!)];
    return { ref, score, width, apart: why, from, to, reads: false };
  }

  function scene(marks: Mark[], lit: Spot[]): Omit<Scene, "said"> {
    const axis = flow.readout_axis;
    const ends = flow.readout.map((unit) => spot(axis, flow.axes[axis]!.members[unit]![0]!, highest(axis)));
    const tops = new Map<number, number>();
    for (const { column, row } of [...marks.flatMap(({ from, to }) => [from, to]), ...ends])
      tops.set(column, Math.max(row, tops.get(column) ?? 0));
    const lives = [...tops].map(([column, to]) => ({ column, from: base(columns[column]!.axis), to, soft: false }));
    const above = lit.filter(({ column, row }) => row > base(columns[column]!.axis));
    const nodes = new Map([...above, ...ends].map((each) => [`${each.column},${each.row}`, each]));
    const isEnd = (each: Spot) => ends.some(({ column, row }) => column === each.column && row === each.row);
    const read = ends.length === 1 ? `, read at ${columns[ends[0]!.column]!.name}` : "";
    return {
      empty: "No edge carries anything.", columns, rows, bands, marks, lives, scale: flow.scale, unit: flow.unit,
      nodes: [...nodes.values()].map((each) => ({ spot: each, soft: isEnd(each), top: isEnd(each) })),
      root: { name: `${report.target.label}${read}`, ends },
    };
  }

  return { mark, scene };
}
