// Two reports beside each other: drawn to one scale, pointed at together, and a row of where they differ.
import { edgeText } from "../address";
import { effectsOf, siteName, type Data } from "../data";
import { flowOf } from "../flow";
import { h, roving } from "../dom";
import { percent, signed } from "../format";
import type { Told } from "../link";
import type { EdgeRef, Scale, State } from "../state";
import { leastThreshold } from "../tree-build";
import type { Framed } from "./frame";

const CLASSES = 4;
const SHOWN = 5; // edges in the row
const LOOKED_AT = 50; // of each side's strongest

export interface Comparison {
  element: HTMLElement;
  /** Two reports are compared, fewer are not. */
  set(sides: (Framed | null)[]): void;
  /** What happened in one of them, to be shown in the other too. */
  told(from: number, told: Told): void;
}

/** `show` changes a side's view; `step` when Back should undo that. */
export function comparison(show: (side: number, change: Partial<State>) => void, step: () => void): Comparison {
  const element = h("section", { class: "differences", "aria-label": "Differences", hidden: true });
  let both: [Framed, Framed] | null = null;

  return {
    element,
    set(sides) {
      for (const side of both ?? []) if (sides.includes(side)) side.show({ change: { scale: null } });
      both = sides[0] && sides[1] ? [sides[0], sides[1]] : null;
      element.hidden = !both;
      element.replaceChildren();
      if (both) void compare(both);
    },
    told(from, { state, changed }) {
      if (!both) return;
      const [one, other] = [both[from]!.data, both[1 - from]!.data];
      const change = counterpart(state, changed, one, other);
      if (Object.keys(change).length) show(1 - from, change);
    },
  };

  async function compare(pair: [Framed, Framed]): Promise<void> {
    const [left, right] = pair.map(({ data }) => data) as [Data, Data];
    const alike = left.report.target.output === right.report.target.output;
    const scale = alike ? shared(largest(left), largest(right)) : null;
    for (const side of pair) side.show({ change: { scale } });
    const edges = alike ? await apart(left, right) : [];
    if (both !== pair) return; // others are compared meanwhile
    const list = h("span", { class: "apart", role: "group", "aria-label": "Edges that differ most" }, ...edges.map((each) => edgeButton(left, each)));
    roving(list, "button");
    element.replaceChildren(
      classes(left, right),
      ...(edges.length ? [h("span", { class: "lead" }, "Edges that differ most:"), list] : []),
      ...(alike ? [] : [h("span", { class: "lead" }, `One explains a ${left.report.target.output}, the other a ${right.report.target.output}: their scores have no common scale.`)]),
    );
  }

  function edgeButton(left: Data, { edges: [mine, theirs], scores: [a, b] }: Apart): HTMLElement {
    const facts = left.report.sites[mine.site]!;
    const point = (edges: (EdgeRef | null)[]) => edges.forEach((hover, side) => show(side, { hover }));
    const pin = () => {
      [mine, theirs].forEach((pinned, side) => show(side, { pinned, head: [pinned.site, pinned.head!] }));
      step();
    };
    return h(
      "button",
      {
        type: "button",
        pointerenter: () => point([mine, theirs]), pointerleave: () => point([null, null]),
        focus: () => point([mine, theirs]), blur: () => point([null, null]),
        click: pin,
      },
      h("bdi", {}, left.name(facts.query_axis, mine.query[0]!)), " → ", h("bdi", {}, left.name(facts.key_axis, mine.key[0]!)),
      h("small", {}, `${siteName(left.report, mine.site)}, head ${mine.head}`),
      h("span", { class: "numbers" }, `${a.exact ? "" : "≈ "}${signed(a.score)} | ${b.exact ? "" : "≈ "}${signed(b.score)} (${signed(b.score - a.score)})`),
    );
  }
}

function classes(left: Data, right: Data): HTMLElement {
  const value = (data: Data, label: string) => data.report.prediction.find((each) => each.label === label)?.value ?? null;
  const labels = [...new Set([left, right].flatMap(({ report }) => report.prediction.map(({ label }) => label)))];
  const rows = labels.map((label) => ({ label, a: value(left, label), b: value(right, label) }));
  rows.sort((x, y) => Math.max(y.a ?? 0, y.b ?? 0) - Math.max(x.a ?? 0, x.b ?? 0));
  return h(
    "span",
    { class: "classes" },
    ...rows.slice(0, CLASSES).map(({ label, a, b }) => {
      const points = a === null || b === null ? "" : (100 * (b - a)).toFixed(1);
      const sign = Number(points) ? (Number(points) < 0 ? "−" : "+") : "";
      const by = points && ` (${sign}${points.replace("-", "")} points)`;
      return h("span", { class: "class" }, h("bdi", {}, label), " ", h("span", { class: "numbers" }, `${percent(a)} | ${percent(b)}${by}`));
    }),
  );
}

export function largest({ report, words, tokens }: Data): Scale {
  const flows = [words.flow, tokens.flow];
  const most = (values: Iterable<number | null>) => {
    let top = 0;
    for (const value of values) top = Math.max(top, Math.abs(value ?? 0));
    return top;
  };
  const layers = [...words.layers, ...tokens.layers];
  return {
    words: report.sites.map((_, site) => most(effectsOf(report, site, words) ?? [])),
    tokens: report.sites.map((_, site) => most(effectsOf(report, site, tokens) ?? [])),
    flow: most(flows.map((flow) => flow?.scale ?? 0)),
    unit: most(flows.map((flow) => flow?.unit ?? 0)),
    edge: most([...(report.edges?.score.slice(0, 1) ?? []), ...layers.map(({ score }) => score[0] ?? 0)]),
    attribution: most(report.sites.flatMap((site) => site.head_sum)),
    attention: most(report.sites.flatMap((site) => site.head_attention ?? [])),
    effect: most(report.effects?.heads.flat() ?? []),
  };
}

function shared(a: Scale, b: Scale): Scale {
  const both = (x: number | number[], y: number | number[]) =>
    Array.isArray(x) && Array.isArray(y) ? x.map((value, site) => Math.max(value, y[site] ?? 0)) : Math.max(x as number, y as number);
  return Object.fromEntries(Object.entries(a).map(([key, value]) => [key, both(value, b[key as keyof Scale])])) as unknown as Scale;
}

/** Which position of another report a position is: the same token for the same time, or none. */
function positions(from: Data, to: Data): (axis: number, position: number) => number | null {
  const named = (tokens: string[]) => {
    const count = new Map<string, number>();
    return tokens.map((token) => {
      count.set(token, (count.get(token) ?? 0) + 1);
      return `${count.get(token)} ${token}`;
    });
  };
  const axes = from.report.axes.map(({ tokens }, axis) => {
    const there = new Map(named(to.report.axes[axis]?.tokens ?? []).map((name, position) => [name, position]));
    return named(tokens).map((name) => there.get(name) ?? null);
  });
  return (axis, position) => axes[axis]?.[position] ?? null;
}

function edgeIn(edge: EdgeRef, from: Data, to: Data): EdgeRef | null {
  const [here, there] = [from.report.sites[edge.site]!, to.report.sites[edge.site]];
  if (!there || there.kind !== here.kind || (edge.head ?? 0) >= there.n_heads) return null;
  const place = positions(from, to);
  const [query, key] = [edge.query.map((at) => place(here.query_axis, at)), edge.key.map((at) => place(here.key_axis, at))];
  return [...query, ...key].includes(null) ? null : { ...edge, query: query as number[], key: key as number[] };
}

/** What of a change in one report can be shown in the other. */
export function counterpart(state: State, changed: (keyof State)[], from: Data, to: Data): Partial<State> {
  const change: Partial<State> = {};
  const place = positions(from, to);
  if (changed.includes("hover")) change.hover = state.hover && edgeIn(state.hover, from, to);
  if (changed.includes("marked")) change.marked = state.marked.flatMap((at) => place(0, at) ?? []);
  if (changed.includes("head") && state.head[1] < (to.report.sites[state.head[0]]?.n_heads ?? 0)) change.head = state.head;
  if (changed.includes("layer") && to.report.sites[state.layer]) change.layer = state.layer;
  if (changed.includes("measure") && (state.measure !== "effect" || to.report.effects)) change.measure = state.measure;
  const drawn = { flow: true, tree: to.tokens.top !== null, edges: !!to.report.edges }[state.mode];
  if (changed.includes("mode") && drawn) change.mode = state.mode;
  const flow = flowOf(to, to[state.unit]);
  if (changed.includes("shown") && flow) change.shown = Math.min(state.shown, flow.site.length);
  if (changed.includes("count")) change.count = state.count;
  if (changed.includes("unit") && (state.unit === "tokens" || to.report.words)) {
    const level = to[state.unit];
    const least = Math.ceil(100 * leastThreshold(level)) / 100;
    const shown = flowOf(to, level)?.usual ?? 0;
    Object.assign(change, { unit: state.unit, window: [0, level.n], threshold: Math.max(state.threshold, least), shown });
  }
  return change;
}

interface Known {
  score: number;
  exact: boolean;
}

interface Apart {
  edges: [EdgeRef, EdgeRef];
  scores: [Known, Known];
}

/** Of the strongest edges of both those whose scores lie furthest apart, where both are known. */
export async function apart(left: Data, right: Data): Promise<Apart[]> {
  const found = new Map<string, Apart>();
  const look = async (from: Data, to: Data, swapped: boolean) => {
    for (const edge of strongest(from)) {
      const other = edgeIn(edge, from, to);
      if (!other) continue;
      const [mine, theirs] = [await scoreOf(from, edge), await scoreOf(to, other)];
      if (!mine || !theirs) continue;
      const each: Apart = swapped ? { edges: [other, edge], scores: [theirs, mine] } : { edges: [edge, other], scores: [mine, theirs] };
      found.set(edgeText(each.edges[0]), each);
    }
  };
  await look(left, right, false);
  await look(right, left, true);
  const by = ({ scores: [a, b] }: Apart) => Math.abs(a.score - b.score);
  return [...found.values()].sort((x, y) => by(y) - by(x)).slice(0, SHOWN);
}

function strongest({ report: { edges } }: Data): EdgeRef[] {
  const count = Math.min(LOOKED_AT, edges?.site.length ?? 0);
  return Array.from({ length: count }, (_, e) => ({ site: edges!.site[e]!, head: edges!.head[e]!, query: [edges!.query[e]!], key: [edges!.key[e]!] }));
}

/** The score of a single head's edge: as it is exactly, else from the head's matrix. */
async function scoreOf(data: Data, edge: EdgeRef): Promise<Known | null> {
  const exact = data.exact(edge);
  if (exact !== null) return { score: exact, exact: true };
  const { sites, axes } = data.report;
  const grid = await data.grid(edge.site, edge.head!, "scores");
  return grid && { score: grid[edge.query[0]! * axes[sites[edge.site]!.key_axis]!.tokens.length + edge.key[0]!]!, exact: false };
}
