// The page of a generation: the reply, the prompt with its sources, spans × sources; and the report of the chosen span.
import "./report.css";
import "./generation.css";
import { digest, Foreign, numberIn } from "./address";
import { answer, largestEffect, spansOf } from "./answer";
import { inflated, siteName } from "./data";
import { h } from "./dom";
import { saves } from "./exporter";
import { keepInAddress, type Shown as Asked, type Told } from "./link";
import { lookOf } from "./look";
import { light, shade, valueOf, type Values } from "./pieces";
import { promptView } from "./prompt";
import { repliesView } from "./replies";
import { part, type Shown } from "./report";
import { reveal } from "./sheet";
import { sourcesView } from "./sources";
import { Store, type State } from "./state";
import type { GenerationFacts, Report } from "./types";

interface Chosen {
  span: number;
  /** the layer whose edges colour the words; null: all of them together */
  words: number | null;
  source: number | null;
  theme: State["theme"];
}

/** What the next span's report keeps of how the one before was looked at. */
const CARRIED = ["unit", "mode", "lines", "measure"];

/** Shows a generation in `root`, its view `inAddress` where the page is nothing else; what is returned takes it away again. */
export function mountGeneration(root: HTMLElement, made: GenerationFacts, inAddress = false): () => void {
  const spans = spansOf(made);
  const largest = largestEffect(made);
  const store = new Store<Chosen>({ span: 0, words: null, source: null, theme: null });
  const look = lookOf((theme) => {
    store.set({ theme });
    now?.store.set({ theme });
  });
  let now: Shown | null = null;
  let turn = 0;
  let isTold = false; // what is told from outside is not told back

  const title = h("h1", {});
  const lines = h("p", { class: "explained" });
  const replies = repliesView(made, (span) => choose(span));
  const point = (source: number | null) => {
    store.set({ source });
    now?.store.set({ marked: (source === null ? null : made.sources[source]) ?? [] });
  };
  const prompt = promptView(made, { point: (source) => store.set({ source }), mark: (marked) => now?.store.set({ marked }) });
  const sources = sourcesView(made, { choose: (span) => choose(span), point });
  const place = h("div", { class: "of-span" });
  const note = h("p", { class: "foreign note", role: "status", hidden: true });
  const layer = h("select", { "aria-label": "Layers that colour the words", change: () => byHand({ words: layer.value === "" ? null : Number(layer.value) }) });
  const colour = h("p", { class: "summary" });

  const named = (name: string, element: HTMLElement) => ((element.dataset.view = name), element);
  const head = (text: string, of: HTMLElement) => h("div", { class: "heading" }, h("h2", {}, text), saves(of, () => titleOf(), () => `attattr-${of.dataset.view}`));
  const [said, asked, table] = [named("reply", replies.element), named("prompt", h("div", {}, colour, prompt.element)), named("sources", sources.element)];
  const page = h(
    "div",
    { class: "attattr generation" },
    note,
    h(
      "header",
      {},
      h("div", { class: "prediction" }, h("div", {}, title, lines)),
      h("div", { class: "tools", "data-noexport": true }, h("span", { class: "model" }, h("bdi", {}, made.model)), look.button),
    ),
    h("section", { class: "replied", "aria-label": "The reply" }, head("The reply", said), said),
    h(
      "div",
      { class: "asked" },
      h("section", { "aria-label": "The prompt" }, head("The prompt", asked), asked),
      h("section", { "aria-label": "Spans × sources" }, head("Spans × sources", table), table),
    ),
    place,
    h("footer", {}, ...made.notes.map((each) => h("p", { class: "warning" }, each))),
  );

  function titleOf(): string[] {
    const { said: text, source } = answer(made, store.state.span);
    return [`${made.model} · ${text} ${source ?? ""}`.trim()];
  }

  /** Another span, as a step that Back takes back. */
  function choose(span: number): void {
    if (span === store.state.span) return;
    const kept = new URLSearchParams(address());
    for (const key of [...kept.keys()]) if (!CARRIED.includes(key)) kept.delete(key);
    byHand({ span });
    void open(String(kept));
  }

  function byHand(change: Partial<Chosen>): void {
    store.set(change);
    tell(true);
  }

  /** Shows the report of the chosen span, in this view. */
  async function open(view: string): Promise<void> {
    const mine = ++turn;
    const { report: packed } = spans[store.state.span]!;
    const report: Report | null = packed === null ? null : await inflated(packed).json();
    if (mine !== turn) return;
    now?.leave();
    now = null;
    if (!report) place.replaceChildren(h("p", { class: "note missing" }, "The edges of this span are left out of this page, for want of room."));
    else now = part(place, report);
    layer.replaceChildren(h("option", { value: "" }, "all layers"), ...(report?.sites ?? []).flatMap(({ key_sum }, n) => (key_sum ? h("option", { value: n }, siteName(report!, n)) : [])));
    const { words } = store.state;
    if (report && words !== null && !report.sites[words]?.key_sum) store.set({ words: null });
    if (now) {
      now.store.set({ theme: store.state.theme });
      if (view) now.element.dispatchEvent(new CustomEvent<Asked>("attattr-show", { detail: { address: view } }));
      now.element.addEventListener("attattr-view", (event) => tell((event as CustomEvent<Told>).detail.step));
      now.store.on(["hover", "pinned", "marked"], lit);
    } else lit();
    colours();
  }

  /** What the chosen layers' edges to each position carry, by axis. */
  function valuesOf(axis: number): Values {
    if (!now) return null;
    const { words } = store.state;
    const sites = now.data.report.sites.filter(({ key_axis, key_sum }, n) => key_axis === axis && key_sum && (words === null || words === n));
    if (!sites.length) return null;
    return now.data.report.axes[axis]!.tokens.map((_, at) => sites.reduce((sum, { key_sum }) => sum + key_sum![at]!, 0));
  }

  function colours(): void {
    const { span, words } = store.state;
    const axes = now?.data.report.axes.length ?? 1;
    const [mine, others] = span < made.spans.length ? replies.words : [replies.words[1], replies.words[0]];
    const [inPrompt, inReply] = [valuesOf(0), valuesOf(axes - 1)];
    const of = [...prompt.words.map((each) => valueOf(each, inPrompt)), ...mine.map((each) => valueOf(each, inReply))];
    const full = Math.max(0, ...of.map((value) => Math.abs(value ?? 0)));
    shade(prompt.words, inPrompt, full);
    shade(mine, inReply, full);
    shade(others, null, full);
    layer.value = words === null ? "" : String(words);
    colour.replaceChildren(...(now ? ["Words: what attending to each gave the chosen span in ", layer, ". Blocks: what is lost without the source."] : ["Blocks: what is lost without the source."]));
  }

  function lit(): void {
    const { hover, pinned, marked } = now?.store.state ?? { hover: null, pinned: null, marked: [] };
    const edge = hover ?? pinned;
    const facts = edge && now!.data.report.sites[edge.site]!;
    const axes = now?.data.report.axes.length ?? 1;
    const on = (axis: number): [readonly number[], readonly number[]] => [facts?.query_axis === axis ? edge!.query : [], facts ? (facts.key_axis === axis ? edge!.key : []) : axis === 0 ? marked : []];
    const far = light(prompt.words, ...on(0));
    const own = store.state.span < made.spans.length ? 0 : 1;
    replies.words.forEach((words, k) => {
      const [queries, keys] = k === own ? on(axes - 1) : [[], []];
      light(words, queries, keys);
    });
    if (far && !far.matches(":hover, :focus")) reveal(prompt.element, far);
  }

  function draw(): void {
    const { span } = store.state;
    const { said: text, source, lines: more } = answer(made, span);
    title.classList.toggle("long", text.length > 60);
    title.replaceChildren(h("bdi", {}, text), ...(source === null ? [] : [" ", h("b", { class: "answer" }, h("bdi", {}, source))]));
    lines.textContent = more.join(" ");
    replies.choose(span);
  }

  function address(): string {
    const { span, words } = store.state;
    const own = [...(span ? [["span", String(span)]] : []), ...(words === null ? [] : [["words", String(words)]])];
    const detail: Asked = {};
    now?.element.dispatchEvent(new CustomEvent<Asked>("attattr-show", { detail }));
    return String(new URLSearchParams([...own, ...new URLSearchParams(detail.now?.address ?? "")] as string[][]));
  }

  function tell(step: boolean): void {
    if (isTold) return;
    const detail = { state: now?.store.state, changed: [], address: address(), step } as unknown as Told;
    page.dispatchEvent(new CustomEvent<Told>("attattr-view", { detail }));
  }

  /** Shows a view as it stood in an address. */
  function show(text: string): void {
    const choices = new URLSearchParams(text);
    const of = choices.get("of");
    note.hidden = true;
    const wanted = { span: 0, words: null as number | null };
    try {
      if (of !== null && of !== digest(facts)) throw new Foreign("The address is that of another result");
      if (choices.has("span")) wanted.span = numberIn(choices.get("span")!, "span", 0, spans.length - 1);
      if (choices.has("words")) wanted.words = numberIn(choices.get("words")!, "words", 0, 999);
    } catch (error) {
      if (!(error instanceof Foreign)) throw error;
      note.textContent = `${error.message}: it is ignored.`;
      note.hidden = false;
      for (const key of [...choices.keys()]) choices.delete(key);
    }
    for (const key of ["of", "span", "words"]) choices.delete(key);
    const stays = now && wanted.span === store.state.span;
    isTold = true;
    store.set(wanted);
    if (stays) now!.element.dispatchEvent(new CustomEvent<Asked>("attattr-show", { detail: { address: String(choices) } }));
    isTold = false;
    if (!stays) void open(String(choices));
  }

  page.addEventListener("attattr-out", (event) => prompt.out((event as CustomEvent<string[]>).detail));
  page.addEventListener("attattr-show", (event) => {
    const { detail } = event as CustomEvent<Asked>;
    if (detail.address !== undefined) show(detail.address);
    detail.now = { state: now?.store.state as State, address: address() };
  });
  const facts = [made.model, made.prompt.text.join(""), made.words.text.join(""), made.columns];
  root.replaceChildren(page);
  look.dress(page);
  store.on(["span"], draw);
  store.on(["span", "source"], () => {
    sources.choose(store.state.span, store.state.source);
    prompt.light(store.state.source);
  });
  store.on(["span", "theme"], () => prompt.show(spans[store.state.span]!, largest));
  store.on(["theme"], () => sources.paint());
  store.on(["words", "theme"], colours);
  void open("");
  const leave = inAddress ? keepInAddress(page, digest(facts)) : () => {};
  return () => {
    turn++;
    leave();
    now?.leave();
    look.leave();
    root.replaceChildren();
  };
}
