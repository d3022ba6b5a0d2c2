// What is computed: the tree beside Python's, unpacking, columns, disagreements, numbers as text.
import { describe, expect, test } from "vitest";
import { columns } from "../src/columns";
import { units, unpack, type Data } from "../src/data";
import { directionOf } from "../src/dom";
import { correlation } from "../src/effects";
import { percent, plain, signed, strength, tiny } from "../src/format";
import { disagreements } from "../src/matrix";
import { counterpart } from "../src/serve/compare";
import { covers, sameEdge, Store, type State } from "../src/state";
import { buildTree, leastThreshold, readings } from "../src/tree-build";
import trees from "./trees.json";
import type { Grid, Level } from "../src/types";

interface Case {
  threshold: number;
  level: Level;
  edges: [number, number, number][];
}

const made = trees as unknown as {
  cases: Case[];
  grid: Grid;
  values: number[];
};

describe("the tree", () => {
  test.each(made.cases.map((each, number) => [number, each] as const))("is Python's, case %i", (_, { level, threshold, edges }) => {
    const tree = buildTree(units(level), threshold);
    expect(tree.edges.map(({ site, query, key }) => [site, query, key])).toEqual(edges);
  });

  test("the cases are not trivial", () => {
    expect(made.cases.filter(({ edges }) => edges.length > 2).length).toBeGreaterThan(10);
    expect(made.cases.some(({ level }) => level.readout === null)).toBe(true);
    expect(made.cases.some(({ level }) => level.readout !== null)).toBe(true);
  });

  test("is drawn downwards: every edge falls, and begins where its query is", () => {
    for (const { level, threshold } of made.cases) {
      const { edges, appeared } = buildTree(units(level), threshold);
      for (const { query, key, from, to, site } of edges) {
        expect(from).toBeGreaterThan(to);
        expect(to).toBeGreaterThanOrEqual(site);
        expect(from).toBeLessThanOrEqual(site + 1);
        expect(appeared.get(key)).toBe(to);
        expect(appeared.get(query)).toBeGreaterThanOrEqual(from);
      }
    }
  });

  test("the prediction is read from the readout row of the last layer", () => {
    const { level, threshold } = made.cases.find((each) => each.level.readout !== null && each.edges.length > 1)!;
    const all = units(level);
    const reads = readings(all, buildTree(all, threshold), threshold);
    expect(reads.length).toBeGreaterThan(0);
    for (const { query, site } of reads) expect([query, site]).toEqual([level.readout, all.layers.at(-1)!.site]);
  });

  test("a threshold that would miss entries which were left out is too low", () => {
    const layer = { site: 0, index: new Uint32Array([1, 2]), score: new Float32Array([1, 0.5]), least: 0.3 };
    const level = { ...units(made.cases[0]!.level), n: 3, readout: null, layers: [layer] };
    expect(leastThreshold(level)).toBeCloseTo(0.3);
    expect(leastThreshold({ ...level, layers: [{ ...layer, least: 0 }] })).toBe(0);
  });
});

test("a packed matrix is unpacked", async () => {
  const values = await unpack(made.grid);
  expect(values.length).toBe(made.values.length);
  values.forEach((value, k) => expect(Math.abs(value - made.values[k]!)).toBeLessThan(0.02));
  expect(values[0]).toBeCloseTo(-2);
});

describe("columns", () => {
  const overlap = (n: number, important: (unit: number) => number) => {
    const names = Array.from({ length: n }, (_, k) => `understanding${k}`);
    const cols = columns(names, names.map((_, k) => k), important, 64, 1000);
    const xs = cols.labels.map(({ unit }) => cols.x(unit)).sort((a, b) => a - b);
    const gaps = xs.slice(1).map((x, k) => x - xs[k]!);
    return { cols, least: Math.min(...gaps) };
  };

  test.each([6, 20, 40, 128, 512])("labels of %i tokens have room", (n) => {
    const { cols, least } = overlap(n, (unit) => (unit % 7 === 0 ? unit + 1 : 0));
    expect(cols.labels.length).toBeGreaterThan(0);
    expect(least).toBeGreaterThanOrEqual({ 0: 30, 40: 20.9, 90: 14.9 }[cols.angle]);
  });

  test("every token has its label while there is room, then those that matter", () => {
    expect(overlap(40, () => 0).cols.labels.length).toBe(40);
    const { cols } = overlap(512, (unit) => (unit < 400 ? unit + 1 : 0));
    expect(cols.labels.length).toBeLessThan(60);
    expect(cols.labels.some(({ unit }) => unit === 399)).toBe(true);
  });

  test("what lies outside the window stands at its margin", () => {
    const cols = columns(["a", "b", "c"], [1], () => 1, 0, 100);
    expect([cols.x(0), cols.x(1), cols.x(2)]).toEqual([-14, 50, 114]);
  });
});

test("disagreement: much attention without score, and the reverse", () => {
  const scores = new Float32Array([0, 1, 0, 0.5]);
  const attention = new Float32Array([0.8, 0.1, 0.1, 0.4]);
  expect(disagreements(scores, attention, 2, null, 2)).toMatchObject([
    { query: 0, key: 0 },
    { query: 0, key: 1 },
  ]);
});

test("rows that the output is not read from do not disagree", () => {
  const cells = disagreements(new Float32Array([0, 0, 0, 0.5]), new Float32Array([1, 0, 0.2, 0.8]), 2, [1]);
  expect(new Set(cells.map(({ query }) => query))).toEqual(new Set([1]));
});

test("correlation", () => {
  const points = [1, 2, 3].map((score) => ({ score, effect: -2 * score }));
  expect(correlation(points)).toBeCloseTo(-1);
});

test("numbers as text", () => {
  expect([signed(0.1234), signed(-0.5), signed(0), signed(1e-6), signed(null)]).toEqual(["+0.123", "−0.500", "0", "+1.0e−6", "–"]);
  expect([plain(-0.25, 2), percent(0.987), percent(0.00001), percent(1), percent(0.99999)]).toEqual(["−0.25", "98.7 %", "<0.1 %", "100.0 %", ">99.9 %"]);
  expect([tiny(-3e-7), tiny(0)]).toEqual(["−3.0e−7", "0"]);
  expect([strength(0, 1), strength(1, 1), strength(1, 0)]).toEqual([0, 1, 0]);
});

test("the store tells those who listen, once, and only of changes", () => {
  const store = new Store({ threshold: 0.4, mode: "tree" } as State);
  let told = 0;
  store.on(["threshold"], () => told++);
  store.set({ threshold: 0.4 });
  store.set({ mode: "edges" });
  expect(told).toBe(1);
  store.set({ threshold: 0.5 });
  expect(told).toBe(2);
});

test("a mark covers an edge of its own head, or of any where it sums them", () => {
  const all = { site: 1, head: null, query: [0], key: [2, 3] };
  const one = { site: 1, head: 4, query: [0], key: [3] };
  const unitOf = [0, 1, 2, 2];
  const place = (position: number) => unitOf[position];
  expect(covers(all, one, place, place)).toBe(true);
  expect(covers({ ...one, head: 5 }, one, place, place)).toBe(false);
  expect(covers({ ...all, site: 0 }, one, place, place)).toBe(false);
  expect(sameEdge(all, { ...all })).toBe(true);
});

test("words run as their first letter does, whatever special tokens stand before", () => {
  expect(directionOf(["[CLS]", "שלום", "world"])).toBe("rtl");
  expect(directionOf(["<s>", "12", "مرحبا"])).toBe("rtl");
  expect(directionOf(["[CLS]", "hello", "שלום"])).toBe("ltr");
  expect(directionOf(["[CLS]", "42"])).toBe("ltr");
});

test("as many edges are shown on the other side as there are", () => {
  const side = (edges: number) => ({ report: { axes: [] }, tokens: { flow: { site: Array(edges) } }, words: { flow: { site: Array(edges) } } }) as unknown as Data;
  const state = { unit: "words", shown: 25, count: 9 } as State;
  expect(counterpart(state, ["shown"], side(40), side(12))).toEqual({ shown: 12 });
  expect(counterpart(state, ["shown", "count"], side(40), side(40))).toEqual({ shown: 25, count: 9 });
});
