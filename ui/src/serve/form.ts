// What to explain: a model, one text or two, and a class.
import { choice, h } from "../dom";
import type { Model } from "./api";
import { askForm, EMPTY, grow, type Ask } from "./ask";

export interface Question {
  model: string;
  texts: string[];
  target: string | null;
  /** what a language model is asked, in place of texts */
  ask: Ask | null;
}

export interface Form {
  element: HTMLFormElement;
  read(): Question;
  fill(question: Question): void;
  /** While it works, the button cancels. */
  working(now: boolean): void;
  /** On small screens only a line that says what was asked, until it is touched. */
  fold(now: boolean): void;
}

export function questionForm(models: Model[], send: () => void, cancel: () => void): Form {
  const picker = h(
    "select",
    { "aria-label": "Model", change: () => chosen() },
    ...models.map(({ name, task }) => h("option", { value: name, title: task }, name)),
  );
  const target = h("select", { "aria-label": "What to explain" });
  const first = textBox("Text");
  const second = textBox("Second text");
  const button = h("button", { type: "submit", class: "send", click: (event: MouseEvent) => {
    if (event.detail > 1) event.preventDefault(); // the second half of a double click means nothing of its own
  } }, "Explain");
  const asking = askForm(() => !isWorking && send());
  const kind = choice("What to do", [["explain", "A prediction"], ["ask", "A reply"]] as const, "explain", (value) => setKind(value === "ask"));
  let isAsking = false;
  const asked = h("button", { type: "button", class: "asked", "aria-expanded": "false", click: () => unfold() });
  let isWorking = false;
  const element = h(
    "form",
    { autocomplete: "off" },
    asked,
    h("div", { class: "pickers" }, picker, kind, target),
    first,
    second,
    asking.element,
    button,
  );
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isWorking) cancel();
    else send();
  });

  new ResizeObserver(() => [first, second].forEach(grow)).observe(element); // narrower beside another, a text has more lines

  function textBox(label: string): HTMLTextAreaElement {
    const box = h("textarea", {
      rows: 1,
      "aria-label": label,
      placeholder: label,
      spellcheck: "false",
      input: () => grow(box),
      keydown: (event: KeyboardEvent) => {
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        if (!isWorking) send();
      },
    });
    return box;
  }

  function unfold(): void {
    element.classList.remove("folded");
    for (const box of [first, second]) grow(box);
    if (isAsking) asking.focus();
    else first.focus();
  }

  function model(): Model {
    return models.find(({ name }) => name === picker.value)!;
  }

  function setKind(ask: boolean): void {
    isAsking = ask;
    kind.show(ask ? "ask" : "explain");
    element.classList.toggle("asking", ask);
    asking.element.hidden = !ask;
    first.hidden = ask;
    second.hidden = ask || model().pair === false;
    target.hidden = ask || !model().labels;
    name();
  }

  function name(): void {
    button.textContent = isWorking ? "Cancel" : isAsking ? "Ask" : "Explain";
  }

  function chosen(): void {
    const { pair, labels, task, writes } = model();
    picker.title = task ?? "";
    kind.hidden = writes === false;
    second.placeholder = pair === null ? "Second text, for a model of pairs" : "Second text";
    const before = target.value;
    target.replaceChildren(
      h("option", { value: "" }, "the predicted class"),
      ...(labels ?? []).map((label) => h("option", { value: label }, label)),
    );
    target.value = labels?.includes(before) ? before : "";
    setKind(writes === true || (writes === null && isAsking));
  }

  asking.fill(EMPTY);
  chosen();
  return {
    element,
    read() {
      if (isAsking) return { model: picker.value, texts: [], target: null, ask: asking.read() };
      const texts = [first.value.trim()];
      const more = second.value.trim();
      if (!second.hidden && (more || model().pair)) texts.push(more);
      return { model: picker.value, texts, target: target.value || null, ask: null };
    },
    fill(question) {
      picker.value = question.model;
      chosen();
      target.value = question.target ?? "";
      first.value = question.texts[0] ?? "";
      second.value = question.texts[1] ?? "";
      if (question.ask) asking.fill(question.ask);
      setKind(!!question.ask);
      for (const box of [first, second]) grow(box);
    },
    working(now) {
      isWorking = now;
      name();
      button.classList.toggle("cancel", now);
    },
    fold(now) {
      const texts = isAsking ? asking.read().turns.map(([, said]) => said) : [first.value, second.hidden ? "" : second.value].filter(Boolean);
      asked.replaceChildren(h("b", {}, picker.value), " ", h("bdi", {}, texts.join(" / ")), h("span", { class: "change" }, "Change"));
      element.classList.toggle("folded", now);
    },
  };
}
