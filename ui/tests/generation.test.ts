// @vitest-environment jsdom
// A generation: what is said of a span, and its page as a part of another.
import { beforeAll, expect, test, vi } from "vitest";
import { answer, byScore, largestEffect } from "../src/answer";
import { mountGeneration } from "../src/generation";
import type { GenerationFacts, Report, SpanFacts } from "../src/types";
import { level, report } from "./toy";

const PATIENT = { timeout: 30_000 };
let packed = "";

/** As Python does it. */
async function deflated(facts: Report): Promise<string> {
  const stream = new Response(JSON.stringify(facts)).body!.pipeThrough(new CompressionStream("deflate"));
  return btoa(String.fromCharCode(...new Uint8Array(await new Response(stream).arrayBuffer())));
}

function span(text: string, effect: (number | null)[], score: (number | null)[] = effect): SpanFacts {
  return { text, value: -0.25, worst_gap: 0.001, score, effect, correlation: null, report: packed };
}

let made: GenerationFacts;

const facts = (): GenerationFacts => ({
  schema_version: 2, version: "0", model: "toy", revision: null, turns: ["system", "user"],
  prompt: {
    text: ["<s>", "Rome", " ", "is", "\n", "Ada", "\n", "</s>", "Where", "<b>?</b>"],
    tokens: [[0], [1], [], [2], [], [3], [], [4], [5], [6]],
    turn: [null, 0, 0, 0, 0, 0, null, null, 1, 1],
    source: [null, 0, 0, 0, null, 1, null, null, null, null],
  },
  sources: [[1, 2], [3]], columns: ["atlas", "diary", "reply so far"],
  words: { text: ["In", " ", "Italy", ".", " ", "Yes"], tokens: [[7], [], [8], [9], [], []], span: [0, 0, 0, 0, null, 1] },
  stopped: "end", n_tokens: 4,
  spans: [span("In Italy.", [3, 0.5, null], [1, 2, null]), span("Yes", [-0.5, null, 0.25], [0.5, 0.25, 0.75])],
  contrast: null, contrast_words: null, value: -0.5, worst_gap: 0.001, notes: ["A note."],
});

beforeAll(async () => {
  packed = await deflated({ ...report, sites: report.sites.map((site) => ({ ...site, key_sum: level.names.map(() => 0.5) })) });
  made = facts();
  vi.stubGlobal("ResizeObserver", class { observe() {} });
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
  HTMLCanvasElement.prototype.getContext = (() => null) as never;
});

test("the sentence names the source, what is left without it, the next one, and where edges disagree", () => {
  const found = answer(made, 0);
  expect([found.said, found.source]).toEqual(["“In Italy.” rests most on", "atlas"]);
  expect(found.lines[0]).toBe("Log-probability with the whole prompt −0.250 (77.9 %), without atlas −3.250 (3.9 %).");
  expect(found.lines[1]).toBe("Then diary (+0.500).");
  expect(found.lines[2]).toContain("The edges put diary first (+2.000, atlas +1.000)");
  expect(found.lines.join()).not.toContain("Not measured");
  expect(found.lines.at(-1)).toBe("Worst completeness gap 1.0e−3.");
});

test("the reply so far may be first, what hurt and what was not measured is said", () => {
  const found = answer(made, 1);
  expect(found.source).toBe("reply so far");
  expect(found.lines).toContain("Against it atlas (−0.500).");
  expect(found.lines).toContain("Not measured: diary.");
  expect(byScore(made.spans[1]!)).toBe(2);
  expect(largestEffect(made)).toBe(3);
});

test("where nothing had helped, or nothing was measured, no source is named", () => {
  const of = (effect: (number | null)[]) => answer({ ...made, spans: [span("x", effect, [1, 1, 1])] }, 0);
  expect(of([-1, 0, -2])).toMatchObject({ source: null, said: expect.stringContaining("nothing that was taken out had helped") });
  expect(of([null, null, null]).said).toContain("no source whose effect was measured");
});

test("of a comparison it is the difference that is told", () => {
  const compared = { ...made, spans: [made.spans[0]!], contrast: span("In Spain.", [3, 0.5, null]), value: 2 };
  const found = answer(compared, 1);
  expect(found.said).toBe("“In Italy.” rather than “In Spain.” rests most on");
  expect(found.lines[0]).toContain("+2.000, without atlas −1.000");
});

test("mounts the reply, the turns, the sources, the table and the report of the chosen span, and unmounts", async () => {
  const root = document.createElement("div");
  const unmount = mountGeneration(root, made);
  await vi.waitFor(() => expect(root.querySelector(".part .edge-list")).not.toBeNull(), PATIENT);
  expect(root.querySelector("h1")!.textContent).toBe("“In Italy.” rests most on atlas");
  expect([...root.querySelectorAll(".turn")].map((turn) => turn.getAttribute("data-role"))).toEqual(["system", "user"]);
  expect([...root.querySelectorAll(".source .head b")].map((name) => name.textContent)).toEqual(["atlas", "diary"]);
  expect(root.querySelector(".source .said")!.textContent).toBe("Rome is");
  expect(root.querySelectorAll("b b, .said b").length).toBe(0);
  expect([...root.querySelectorAll(".sources tbody tr")].map((row) => row.querySelectorAll("td.cell").length)).toEqual([3, 3]);
  expect(root.textContent).toContain("not measured");
  expect(root.textContent).toContain("A note.");
  root.querySelectorAll<HTMLElement>(".reply .span")[1]!.click();
  expect(root.querySelector("h1")!.textContent).toBe("“Yes” rests most on reply so far");
  expect(root.querySelector(".source .effect")!.textContent).toBe("−0.500");
  unmount();
  expect(root.childNodes.length).toBe(0);
});

test("a span whose edges were left out says so and keeps its sources", async () => {
  const root = document.createElement("div");
  mountGeneration(root, { ...made, spans: [{ ...made.spans[0]!, report: null }, made.spans[1]!] });
  await vi.waitFor(() => expect(root.querySelector(".missing")).not.toBeNull(), PATIENT);
  expect(root.querySelector(".source .effect")!.textContent).toBe("+3.000");
});

test("its address has the span and the layer of the words, and another's is ignored", async () => {
  const root = document.createElement("div");
  mountGeneration(root, made);
  const page = root.querySelector<HTMLElement>(".attattr")!;
  await vi.waitFor(() => expect(root.querySelector(".part")).not.toBeNull(), PATIENT);
  const told: string[] = [];
  page.addEventListener("attattr-view", (event) => told.push((event as CustomEvent).detail.address));
  root.querySelectorAll<HTMLElement>(".reply .span")[1]!.click();
  expect(told.at(-1)).toMatch(/^span=1/);
  const show = (address: string) => page.dispatchEvent(new CustomEvent("attattr-show", { detail: { address } }));
  show("span=0&words=0&measure=attention");
  await vi.waitFor(() => expect(root.querySelector(".choice [data-value=attention][aria-pressed=true]")).not.toBeNull(), PATIENT);
  expect(root.querySelector<HTMLSelectElement>(".summary select")!.value).toBe("0");
  show("span=9");
  expect(root.querySelector<HTMLElement>(".foreign")!.hidden).toBe(false);
  expect(root.querySelector(".foreign")!.textContent).toContain("span of the address");
  show("of=other&span=1");
  expect(root.querySelector(".foreign")!.textContent).toContain("another result");
});
