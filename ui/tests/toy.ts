// A small made-up report.
import made from "./trees.json";
import type { Level, Report, SiteFacts } from "../src/types";

const { cases } = made as unknown as { cases: { level: Level }[] };
export const level = cases.find((each) => each.level.readout !== null)!.level;

function site(number: number): SiteFacts {
  return {
    name: `layer.${number}`, kind: "encoder self", query_axis: 0, key_axis: 0, n_heads: 2, head_sum: [0.5, -0.25],
    head_max: [0.5, 0], key_sum: null, queries: null, head_attention: [0.5, 0.5], scores: null, attention: null, baseline_output: 0.5, change: 0.25,
    total: 0.25, gap: 0, error: 0, n_steps: 4, converged: true, method: "integral",
  };
}

export const report: Report = {
  schema_version: 1, version: "0", model: "toy", revision: null, texts: ["text"],
  prediction: [{ label: "<b>yes</b>", value: 0.75 }, { label: "no", value: 0.25 }], predicted: "<b>yes</b>",
  target: { kind: "class", label: "<b>yes</b>", output: "probability", value: 0.75, probability: 0.75, predicted: true },
  axes: [{ name: "input", tokens: level.names, names: level.names }], picture: null, tokens: level, words: null,
  sites: level.layers.map((_, number) => site(number)),
  edges: { site: [0], head: [1], query: [1], key: [2], score: [-0.25], attention: [0.5] }, effects: null,
  threshold: 0.4, method: "gausslegendre", baseline: "zero", notes: ["A note."],
};
