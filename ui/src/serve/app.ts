// The page of the local server: one side with a question and its report, or two beside each other.
import "./serve.css";
import { h } from "../dom";
import { aborted, explain, models as askModels, said, type Model, type Working } from "./api";
import { questionForm, type Question } from "./form";
import { takeOutStrip } from "./takeout";

const EXAMPLES: [model: string, ...texts: string[]][] = [
  ["mnli", "A woman is playing the violin on a crowded street.", "Nobody is making music."],
  ["sst2", "The plot is thin, but the two leads are so charming that I left smiling."],
  ["mrpc", "The company cut its forecast on Monday.", "On Monday the firm lowered its outlook."],
];
const RIVALS: Record<string, string> = { mnli: "snli", snli: "mnli", rte: "mnli", mrpc: "rte" };

interface Side {
  element: HTMLElement;
  read(): Question;
  ask(question: Question): void;
  close(): void;
}

export async function start(root: HTMLElement): Promise<void> {
  let models: Model[];
  try {
    models = await askModels();
  } catch (error) {
    root.replaceChildren(h("p", { class: "error" }, said(error)));
    return;
  }
  const compare = h("button", { type: "button", class: "compare", "aria-pressed": "false", click: () => toggle() }, "Compare");
  const sides = h("main", { class: "sides" });
  const bar = h("header", {}, h("h1", {}, "attattr"), h("p", {}, "Which attention edges made this prediction?"), compare);
  const first = side(models, "First");
  let second: Side | null = null;
  sides.append(first.element);
  root.replaceChildren(bar, sides);

  function toggle(): void {
    if (second) {
      second.close();
      second = null;
    } else {
      const { model, texts, target } = first.read();
      second = side(models, "Second");
      sides.append(second.element);
      const rival = RIVALS[model];
      second.ask({ model: rival && models.some(({ name }) => name === rival) ? rival : model, texts, target: rival ? null : target });
    }
    root.classList.toggle("comparing", !!second);
    compare.setAttribute("aria-pressed", String(!!second));
    compare.textContent = second ? "One result" : "Compare";
  }
}

function side(models: Model[], name: string): Side {
  const form = questionForm(models, () => void send(), () => turn?.abort());
  const status = h("div", { class: "status", role: "status" });
  const place = h("div", { class: "place" }, welcome());
  const element = h("section", { class: "side", "aria-label": `${name} result` }, form.element, status, place);
  let turn: AbortController | null = null;

  function welcome(): HTMLElement {
    const offered = EXAMPLES.filter(([model]) => models.some((each) => each.name === model));
    return h(
      "div",
      { class: "welcome" },
      h("p", {}, "Type a text, or try one of these:"),
      ...offered.map(([model, ...texts]) =>
        h(
          "button",
          {
            type: "button",
            click: () => {
              form.fill({ model, texts, target: null });
              void send();
            },
          },
          h("b", {}, model),
          ...texts.map((text) => h("span", {}, text)),
        ),
      ),
    );
  }

  async function send(): Promise<void> {
    turn?.abort(); // an example may be clicked while another is worked at
    const mine = (turn = new AbortController());
    const text = h("span", {}, "asking");
    const bar = h("progress", { "aria-label": "Progress" });
    form.working(true);
    status.replaceChildren(bar, text);
    try {
      const made = await explain(form.read(), (news) => tell(news, bar, text), mine.signal);
      if (turn !== mine) return;
      const address = `/results/${encodeURIComponent(made.id)}`;
      const frame = h("iframe", { title: `Report: ${made.label}`, src: address });
      const save = h("a", { class: "save", href: address, download: "attattr-report.html" }, "Save report");
      const strip = takeOutStrip(made.id, frame);
      strip.append(save);
      place.replaceChildren(strip, frame);
      document.title = `${made.label} · attattr`;
      status.replaceChildren(...made.notes.map((note) => h("p", { class: "note" }, note)));
    } catch (error) {
      if (turn !== mine) return;
      status.replaceChildren(h("p", aborted(error) ? { class: "note" } : { class: "error" }, aborted(error) ? "Cancelled." : said(error)));
    }
    form.working(false);
  }

  return {
    element,
    read: form.read,
    ask(question) {
      form.fill(question);
      if (question.texts[0]) void send();
    },
    close() {
      turn?.abort();
      element.remove();
    },
  };
}

function tell({ state, ahead, what, done, total }: Working, bar: HTMLProgressElement, text: HTMLElement): void {
  if (state === "waiting") {
    bar.removeAttribute("value");
    text.textContent = `busy: ${ahead} ${ahead === 1 ? "request is" : "requests are"} ahead of this one`;
  } else if (state === "working") {
    if (done) Object.assign(bar, { max: total, value: done });
    else bar.removeAttribute("value");
    text.textContent = total && total > 1 ? `${what}, ${done} of ${total}` : what!;
  }
}
