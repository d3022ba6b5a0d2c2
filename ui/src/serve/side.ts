// One side of the page: a question, how far it is, and its report in a frame.
import { h } from "../dom";
import type { Told } from "../link";
import type { State } from "../state";
import { aborted, explain, generate, held, said, type Explained, type Model, type Working } from "./api";
import { MOST } from "./ask";
import { questionForm, type Question } from "./form";
import { framed, type Framed, type FramedReply } from "./frame";
import { sameQuestion, type Wanted } from "./links";
import { takeOutStrip, type Strip } from "./takeout";
import { sourceStrip } from "./without";

const EXAMPLES: [model: string, ...texts: string[]][] = [
  ["mnli", "A woman is playing the violin on a crowded street.", "Nobody is making music."],
  ["sst2", "The plot is thin, but the two leads are so charming that I left smiling."],
  ["mrpc", "The company cut its forecast on Monday.", "On Monday the firm lowered its outlook."],
];
const DOCUMENTS = ["[1] Breko owns the golden violin.", "[2] Tisa owns the large lamp. More was not said.", "[3] The place of the golden violin is in Skofell."];
const ASKED: Question = {
  model: "facts", texts: [], target: null,
  ask: {
    turns: [["user", `${DOCUMENTS.join("\n")}\n\nOne question: What do Tisa and Breko own?`]],
    sources: DOCUMENTS.map((text, k) => [`document ${k + 1}`, text]), most: MOST, reply: "",
  },
};

export interface Side {
  element: HTMLElement;
  read(): Question;
  ask(question: Question): void;
  /** Shows what an address says: what is shown already stays, a result that is held is not made again. */
  open(wanted: Wanted, made: Explained | null): Promise<void>;
  /** As it is when nothing was asked. */
  clear(): void;
  /** What is shown, for the address; null while nothing is. */
  wanted(): Wanted | null;
  made(): Explained | null;
  report(): Framed | null;
  show(change: Partial<State>): void;
  say(sentence: string, kind?: "note" | "error"): void;
  close(): void;
}

/** What a side tells: that the address has changed (by a step that Back undoes, or not), a report that came or went, and
 * what happens in it. */
export interface Heard {
  changed(step: boolean): void;
  reported(): void;
  told(told: Told): void;
}

interface Held {
  question: Question;
  made: Explained;
  view: string;
  out: string[];
  report: Framed | FramedReply | null;
  strip: Strip | null;
}

export function sideView(models: Model[], name: string, heard: Heard): Side {
  const form = questionForm(models, () => void send(form.read(), null), () => turn?.abort());
  const status = h("div", { class: "status", role: "status" });
  const place = h("div", { class: "place" }, welcome());
  const element = h("section", { class: "side", "aria-label": `${name} result` }, form.element, status, place);
  let turn: AbortController | null = null;
  let now: Held | null = null;

  function welcome(): HTMLElement {
    const offered = EXAMPLES.filter(([model]) => models.some((each) => each.name === model));
    return h(
      "div",
      { class: "welcome" },
      h("p", {}, "Type a text, or try one of these:"),
      ...offered.map(([model, ...texts]) =>
        h("button", { type: "button", click: () => ask({ model, texts, target: null, ask: null }) }, h("b", {}, model), ...texts.map((text) => h("span", {}, text))),
      ),
      ...(models.some((each) => each.name === ASKED.model)
        ? [h("button", { type: "button", click: () => ask(ASKED) }, h("b", {}, ASKED.model), ...ASKED.ask!.turns.flatMap(([, said]) => said.split("\n").filter(Boolean)).map((text) => h("span", {}, text)))]
        : []),
    );
  }

  function ask(question: Question): void {
    form.fill(question);
    if (question.texts[0] || question.ask) void send(form.read(), null);
  }

  /** Explains; `wanted` is the view that an address asks for. */
  async function send(question: Question, wanted: Wanted | null): Promise<void> {
    turn?.abort(); // an example may be clicked while another is worked at
    const mine = (turn = new AbortController());
    const again = wanted ? "explaining again what the address asks for: " : "";
    const text = h("span", {}, `${again}asking`);
    const bar = h("progress", { "aria-label": "Progress" });
    form.working(true);
    status.replaceChildren(bar, text);
    try {
      const listen = (news: Working) => tell(news, again, bar, text);
      const { ask: asked } = question;
      const made = await (asked ? generate(asked, question.model, listen, mine.signal) : explain(question, listen, mine.signal));
      if (turn !== mine) return;
      put(question, made, wanted);
      heard.changed(!wanted);
    } catch (error) {
      if (turn !== mine) return;
      if (aborted(error)) say("Cancelled.", "note");
      else say(said(error), "error");
    }
    form.working(false);
  }

  function put(question: Question, made: Explained, wanted: Wanted | null): void {
    const address = `/results/${encodeURIComponent(made.id)}`;
    const frame = h("iframe", { title: `Report: ${made.label}`, src: address });
    const save = h("a", { class: "save", href: address, download: "attattr-report.html" }, "Save report");
    const mine: Held = (now = { question, made, view: wanted?.view ?? "", out: wanted?.out ?? [], report: null, strip: null });
    const row = h("div", { class: "strip-row" });
    frame.addEventListener("load", () => {
      mine.report = framed(frame, (news) => now === mine && listen(mine, news), (what) => (typeof what === "string" ? mine.strip?.takeSource(what) : mine.strip?.take(what)));
      if (mine.report && now === mine) begin(mine, mine.report, row, save);
    });
    row.append(save);
    place.replaceChildren(row, frame);
    document.title = `${made.label} · attattr`;
    status.replaceChildren(...made.notes.map((note) => h("p", { class: "note" }, note)));
    form.fold(true);
    heard.reported();
  }

  /** The report is there: it gets the view that is wanted, and the strip above it. */
  function begin(mine: Held, report: Framed | FramedReply, row: HTMLElement, save: HTMLElement): void {
    const changed = () => {
      mine.out = strip.out();
      heard.changed(true);
    };
    const strip: Strip = "made" in report ? sourceStrip(mine.made.id, report.made, changed, report.mark) : takeOutStrip(mine.made.id, report.data, changed);
    mine.strip = strip;
    strip.element.append(save);
    row.replaceChildren(strip.element);
    restore(mine);
    heard.reported();
  }

  function restore(mine: Held): void {
    const shown = mine.report?.show({ address: mine.view });
    if (!shown) return;
    mine.view = shown.address;
    mine.strip?.restore(mine.out);
    mine.out = mine.strip?.out() ?? [];
    mine.strip?.offer(shown.state);
  }

  function listen(mine: Held, news: Told): void {
    mine.strip?.offer(news.state);
    heard.told(news);
    if (news.address === mine.view) return;
    mine.view = news.address;
    heard.changed(news.step);
  }

  function say(sentence: string, kind: "note" | "error" = "note"): void {
    status.replaceChildren(h("p", { class: kind }, sentence));
  }

  return {
    element,
    read: form.read,
    ask,
    async open(wanted, made) {
      form.fill(wanted.question);
      turn?.abort();
      const mine = (turn = new AbortController());
      form.working(false);
      if (now && sameQuestion(now.question, wanted.question)) {
        Object.assign(now, { view: wanted.view, out: wanted.out });
        status.replaceChildren();
        restore(now);
        return;
      }
      const there = !!made && (await held(made.id));
      if (turn !== mine) return;
      if (there) put(wanted.question, made, wanted);
      else await send(wanted.question, wanted);
    },
    clear() {
      turn?.abort();
      turn = now = null;
      form.working(false);
      form.fold(false);
      status.replaceChildren();
      place.replaceChildren(welcome());
      document.title = "attattr";
      heard.reported();
    },
    wanted: () => now && { question: now.question, view: now.view, out: now.out },
    made: () => now?.made ?? null,
    report: () => (now?.report && "data" in now.report ? now.report : null),
    show(change) {
      const shown = now?.report?.show({ change });
      if (!now || !shown) return;
      const moved = now.view !== shown.address;
      now.view = shown.address;
      now.strip?.offer(shown.state);
      if (moved) heard.changed(false);
    },
    say,
    close() {
      turn?.abort();
      now = null;
      element.remove();
    },
  };
}

function tell({ state, ahead, what, done, total }: Working, again: string, bar: HTMLProgressElement, text: HTMLElement): void {
  if (state === "waiting") {
    bar.removeAttribute("value");
    text.textContent = `${again}busy: ${ahead} ${ahead === 1 ? "request is" : "requests are"} ahead of this one`;
  } else if (state === "working") {
    if (done) Object.assign(bar, { max: total, value: done });
    else bar.removeAttribute("value");
    text.textContent = again + (total && total > 1 ? `${what}, ${done} of ${total}` : what!);
  }
}
