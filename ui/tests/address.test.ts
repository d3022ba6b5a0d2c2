// What stands in an address, and what is made of what others write there.
import type { Ask } from "../src/serve/ask";
import { expect, test } from "vitest";
import { edgeOf, edgeText, Foreign, readView, written } from "../src/address";
import { prepare } from "../src/data";
import { fragmentOf, wantedOf, type Wanted } from "../src/serve/links";
import type { State } from "../src/state";
import made from "./trees.json";
import type { Level, Report } from "../src/types";

const { cases } = made as unknown as { cases: { level: Level }[] };
const level = cases.find((each) => each.level.readout !== null)!.level;
const report = {
  axes: [{ name: "input", tokens: level.names, names: level.names }], tokens: level, words: null, effects: null,
  sites: level.layers.map(() => ({ query_axis: 0, key_axis: 0, n_heads: 2 })),
  edges: { site: [0], head: [1], query: [1], key: [2], score: [-0.25], attention: [0.5] },
} as unknown as Report;
const data = prepare(report);
const first: State = {
  unit: "tokens", mode: "flow", threshold: 0.4, shown: 0, count: 30, layer: 0, theme: null, lines: "strongest", measure: "attribution", head: [0, 1],
  hover: null, pinned: null, marked: [], scale: null, window: [0, level.names.length],
};

test("what is chosen is written and read again", () => {
  const state: State = { ...first, mode: "edges", count: 12, head: [0, 0], window: [1, 3], pinned: { site: 0, head: null, query: [1], key: [2, 3] } };
  const text = String(new URLSearchParams(written(state, first, data)));
  expect(text).toBe("mode=edges&count=12&head=0.0&window=1-3&pinned=0.all.1.2-3");
  expect({ ...first, ...readView(new URLSearchParams(text), first, data) }).toEqual(state);
  expect(written(first, first, data)).toEqual([]);
  expect({ ...first, ...readView([], first, data) }).toEqual(first);
});

test.each([
  "pinned=0.0.1", "pinned=0.2.1.2", "pinned=9.0.1.2", "pinned=0.0.1.999", "pinned=0.0.1.2-", "pinned=0.-1.1.2", "head=0.2",
  "head=x", "unit=words", "measure=effect", "mode=constructor", "count=0", "count=1e2", "count=1.5", "layer=0.5", "layer=99", "shown=1", "threshold=NaN", "window=3-1", "hover=1", "__proto__=1",
])("%s is foreign", (text) => {
  expect(() => readView(new URLSearchParams(text), first, data)).toThrow(Foreign);
});

test("an edge is the same after its text", () => {
  const edge = { site: 0, head: 1, query: [1], key: [2] };
  expect(edgeOf(edgeText(edge), data)).toEqual(edge);
});

const models = [
  { name: "mnli", task: null, labels: ["entailment", "neutral"], pair: true, writes: false },
  { name: "one & two", task: null, labels: null, pair: false, writes: false },
  { name: "lm", task: null, labels: null, pair: null, writes: true },
];

test("two sides are written and read again", () => {
  const sides: Wanted[] = [
    { question: { model: "mnli", texts: ["a & b = c #", "שלום + 🎻\n%"], target: "neutral", ask: null }, view: "mode=edges&pinned=0.1.1.2", out: ["0.all.1.2-3", "head.0.1"] },
    { question: { model: "one & two", texts: ["2.text=x"], target: null, ask: null }, view: "", out: [] },
  ];
  expect(wantedOf(fragmentOf(sides), models)).toEqual(sides);
  expect(wantedOf(fragmentOf(sides.slice(1)), models)).toEqual(sides.slice(1));
});

test("what a language model is asked is written and read again", () => {
  const ask = { turns: [["system", "a\nb & c\n"], ["user", "why?"]], sources: [["one", "a\nb"]], most: 7, reply: "So." } as Ask;
  const plain = { turns: [["", "Once\nupon"]], sources: [], most: 64, reply: "" } as Ask;
  for (const each of [ask, plain]) {
    const sides: Wanted[] = [{ question: { model: "lm", texts: [], target: null, ask: each }, view: "span=1&words=0", out: ["source.0"] }];
    expect(wantedOf(fragmentOf(sides), models)).toEqual(sides);
  }
});

test.each(["section", "model=mnli&turn=user%0Aa", "model=lm&turn=user%0Aa&tokens=x", "model=mnli", "model=none&text=a", "model=mnli&text=a&text=b&text=c", "model=mnli&text=a&target=x", "text=a", "2.model=mnli&2.text=a"])(
  "%s asks for nothing that is here",
  (text) => {
    expect(() => wantedOf(text, models)).toThrow(Foreign);
  },
);
