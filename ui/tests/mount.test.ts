// @vitest-environment jsdom
// The report as a part of another page: it is there, and it goes again.
import { beforeAll, expect, test, vi } from "vitest";
import { mount } from "../src/report";
import made from "./trees.json";
import type { Level, Report, SiteFacts } from "../src/types";

const { cases } = made as unknown as { cases: { level: Level }[] };
const level = cases.find((each) => each.level.readout !== null)!.level;

function site(number: number): SiteFacts {
  return {
    name: `layer.${number}`, kind: "encoder self", query_axis: 0, key_axis: 0, n_heads: 2, head_sum: [0.5, -0.25],
    head_max: [0.5, 0], key_sum: null, queries: null, head_attention: [0.5, 0.5], scores: null, attention: null, baseline_output: 0.5, change: 0.25,
    total: 0.25, gap: 0, error: 0, n_steps: 4, converged: true,
  };
}

const report: Report = {
  schema_version: 1, version: "0", model: "toy", revision: null, texts: ["text"],
  prediction: [{ label: "<b>yes</b>", value: 0.75 }, { label: "no", value: 0.25 }], predicted: "<b>yes</b>",
  target: { kind: "class", label: "<b>yes</b>", output: "probability", value: 0.75, probability: 0.75, predicted: true },
  axes: [{ name: "input", tokens: level.names, names: level.names }], picture: null, tokens: level, words: null,
  sites: level.layers.map((_, number) => site(number)),
  edges: { site: [0], head: [1], query: [1], key: [2], score: [-0.25], attention: [0.5] }, effects: null,
  threshold: 0.4, method: "gausslegendre", baseline: "zero", notes: ["A note."],
};

beforeAll(() => {
  vi.stubGlobal("ResizeObserver", class { observe() {} });
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
  HTMLCanvasElement.prototype.getContext = (() => null) as never;
});

test("mounts and unmounts", () => {
  const root = document.createElement("div");
  const unmount = mount(root, report);
  expect(root.querySelector("h1")!.textContent).toBe("<b>yes</b> 75.0 %");
  expect(root.querySelectorAll("b").length).toBeLessThan(8);
  expect(root.querySelectorAll(".cell").length).toBe(2 * level.layers.length);
  expect(root.querySelectorAll(".edge-list tbody tr").length).toBe(1);
  expect(root.textContent).toContain("A note.");
  unmount();
  expect(root.childNodes.length).toBe(0);
});

test("two reports stand beside each other with views of their own", () => {
  const [one, other] = [document.createElement("div"), document.createElement("div")];
  mount(one, report);
  mount(other, { ...report, edges: null });
  expect(one.querySelectorAll("[id]").length + other.querySelectorAll("[id]").length).toBe(0);
  expect(other.textContent).toContain("made without edges");
});
