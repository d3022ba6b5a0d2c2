// What stands at the top, for every kind of thing that can be explained.
import { expect, test } from "vitest";
import { headline } from "../src/prediction";
import type { Probability, Report, TargetFacts } from "../src/types";

const classes: Probability[] = [{ label: "contradiction", value: 0.987 }, { label: "entailment", value: 0.003 }];

function said(target: Partial<TargetFacts>, predicted = "contradiction", prediction = classes) {
  const whole = { kind: "class", label: "entailment", output: "probability", value: 0.003, probability: 0.003, predicted: false, ...target };
  return headline({ target: whole, predicted, prediction } as Report);
}

test("the class that is explained leads, and what was predicted follows", () => {
  expect(said({})).toEqual({ name: "entailment", share: "0.3 %", instead: "not predicted: contradiction 98.7 %" });
  expect(said({ label: "contradiction", probability: 0.987, predicted: true })).toEqual({ name: "contradiction", share: "98.7 %", instead: null });
});

test("a continuation is quoted whole", () => {
  const label = " and so the whole long sentence goes on and on to its end";
  const found = said({ kind: "continuation", label, output: "log probability", value: -3, probability: Math.exp(-3) }, " the", [{ label: " the", value: 0.25 }]);
  expect(found).toEqual({ name: `“${label.trim()}”`, share: "5.0 %", instead: "likeliest next token: “the” 25.0 %" });
});

test.each([
  [{ kind: "similarity", label: "similarity", output: "value", value: 0.8312, probability: null, predicted: true }, "0.83", "similarity 0.831"],
  [{ kind: "value", label: "LABEL_0", output: "value", value: 3.25, probability: null, predicted: true }, "3.25", "3.25"],
  [{ kind: "difference", label: "a − b", output: "logit", value: 5.2, probability: null }, "no prediction", "a − b 5.200"],
  [{ kind: "callable", label: "margin", output: "value", value: null, probability: null }, "no prediction", "margin"],
] as const)("what has no probability has its value, and never a dash", (target, predicted, expected) => {
  const { name, share, instead } = said(target, predicted, []);
  expect(`${name} ${share}`.trim()).toBe(expected);
  expect(instead).toBe(null);
});
