// The paper's attribution tree, on the flow graph's scale.
import type { Data, Units } from "./data";
import { widthOf } from "./flow";
import { plain } from "./format";
import type { Mark, Scene } from "./graph";
import { nothing } from "./flow";
import type { State } from "./state";
import { buildTree, readings, type TreeEdge } from "./tree-build";

export function treeScene({ report }: Data, level: Units, { threshold }: State): Scene {
  const { flow, top, readout } = level;
  if (!flow || top === null) return { ...nothing, empty: "This result was made without every score, which a tree needs." };
  const tree = buildTree(level, threshold);
  const read = readings(level, tree, threshold);
  const mark = (reads: boolean) => ({ site, query, key, score, from, to }: TreeEdge): Mark => ({
    ref: { site, head: null, query: level.members[query]!, key: level.members[key]! },
    from: { column: query, row: from },
    to: { column: key, row: to },
    score, width: widthOf(flow, score), apart: null, reads,
  });
  // a token is there from the bottom up to where it appeared, and on to where the readout takes it
  const heights = new Map(tree.appeared);
  for (const { key, to } of read) if (!heights.has(key)) heights.set(key, to);
  const lives = [...heights].map(([column, to]) => ({ column, from: 0, to, soft: !tree.appeared.has(column) }));
  const ways = read.flatMap(({ key, to }) => (heights.get(key)! < to ? { column: key, from: heights.get(key)!, to, soft: true } : []));
  return {
    said: `Attribution tree of ${tree.edges.length} edges at threshold ${plain(threshold, 2)}`,
    empty: "No edge stands above this threshold.",
    columns: level.names.map((name, unit) => ({ axis: 0, name, members: level.members[unit]! })),
    rows: level.layers.length,
    bands: level.layers.map(({ site }, number) => ({ site, row: number + 0.5 })),
    marks: [...read.map(mark(true)), ...tree.edges.map(mark(false))],
    lives: [...lives, ...ways],
    nodes: lives.map(({ column, to, soft }) => ({ spot: { column, row: to }, soft, top: column === top })),
    root: readout === null || !read.length ? null : { name: `${report.target.label}, read at ${level.names[readout]}`, ends: [] },
    scale: flow.scale,
    unit: flow.unit,
  };
}
