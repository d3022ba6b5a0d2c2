// The attribution tree of the paper, from the layers' matrices: the same construction as attattr.build_tree.
import type { Units } from "./data";

export interface TreeEdge {
  site: number;
  query: number; // units
  key: number;
  score: number;
  /** heights at which it is drawn, in layers: that of its query, or the upper end of its layer; that of its key */
  from: number;
  to: number;
}

export interface Tree {
  edges: TreeEdge[];
  /** by unit: the height in layers at which it appeared; layer l lies between l and l + 1 */
  appeared: Map<number, number>;
}

export function buildTree({ layers, n, top, readout }: Units, threshold: number): Tree {
  const appeared = new Map<number, number>();
  const edges: TreeEdge[] = [];
  if (top === null) return { edges, appeared };
  appeared.set(top, layers.length);
  for (let l = layers.length - 1; l >= 0; l--) {
    const { site, index, score } = layers[l]!;
    const largest = largestOf(index, score, n, readout);
    if (!(largest > 0)) continue;
    // a token that appears may find others in the same layer: so many steps below the layer's upper end
    const steps = new Map<number, number>();
    const found: TreeEdge[] = [];
    for (let e = 0; e < index.length && score[e]! > threshold * largest; e++) {
      const query = Math.floor(index[e]! / n);
      const key = index[e]! % n;
      if (query === readout || !appeared.has(query) || appeared.has(key)) continue;
      steps.set(key, (steps.get(query) ?? 0) + 1);
      appeared.set(key, l);
      found.push({ site, query, key, score: score[e]!, from: l + 1, to: l });
    }
    const height = (unit: number) => l + 1 - (steps.get(unit) ?? 0) / Math.max(1, ...steps.values());
    for (const unit of steps.keys()) appeared.set(unit, height(unit));
    for (const edge of found) edges.push({ ...edge, from: height(edge.query), to: height(edge.key) });
  }
  // where the last layer only serves the readout, the tree begins below it
  if (readout !== null && edges.every(({ from }) => from <= layers.length - 1)) appeared.set(top, layers.length - 1);
  return { edges, appeared };
}

/** What the readout row takes in the last layer: from the tokens of the tree, and all above the threshold. */
export function readings({ layers, n, readout }: Units, tree: Tree, threshold: number): TreeEdge[] {
  const last = layers.at(-1);
  if (readout === null || !last) return [];
  const found: TreeEdge[] = [];
  let largest = 0;
  last.index.forEach((place, e) => {
    const key = place % n;
    if (Math.floor(place / n) !== readout || key === readout) return;
    const score = last.score[e]!;
    largest ||= score; // they come in order
    if (score > threshold * largest || (tree.appeared.has(key) && score > 0.01 * largest))
      found.push({ site: last.site, query: readout, key, score, from: layers.length, to: layers.length - 1 });
  });
  return found;
}

/** The largest score of a layer outside the readout row. */
export function largestOf(index: Uint32Array, score: Float32Array, n: number, readout: number | null): number {
  let largest = 0;
  for (let e = 0; e < index.length; e++)
    if (score[e]! > largest && Math.floor(index[e]! / n) !== readout) largest = score[e]!;
  return largest;
}

/** The smallest threshold at which no entry that was left out would be missed. */
export function leastThreshold({ layers, n, readout }: Units): number {
  let least = 0;
  for (const { index, score, least: cut } of layers) {
    const largest = largestOf(index, score, n, readout);
    if (cut && largest) least = Math.max(least, cut / largest);
  }
  return Math.min(0.95, least);
}
