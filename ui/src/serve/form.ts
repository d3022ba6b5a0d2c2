// What to explain: a model, one text or two, and a class.
import { h } from "../dom";
import type { Model } from "./api";

export interface Question {
  model: string;
  texts: string[];
  target: string | null;
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
  const asked = h("button", { type: "button", class: "asked", "aria-expanded": "false", click: () => unfold() });
  let isWorking = false;
  const element = h(
    "form",
    { autocomplete: "off" },
    asked,
    h("div", { class: "pickers" }, picker, target),
    first,
    second,
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

  function grow(box: HTMLTextAreaElement): void {
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight + 2, 132)}px`;
  }

  function unfold(): void {
    element.classList.remove("folded");
    for (const box of [first, second]) grow(box);
    first.focus();
  }

  function model(): Model {
    return models.find(({ name }) => name === picker.value)!;
  }

  function chosen(): void {
    const { pair, labels, task } = model();
    picker.title = task ?? "";
    second.hidden = pair === false;
    second.placeholder = pair === null ? "Second text, for a model of pairs" : "Second text";
    const before = target.value;
    target.replaceChildren(
      h("option", { value: "" }, "the predicted class"),
      ...(labels ?? []).map((label) => h("option", { value: label }, label)),
    );
    target.value = labels?.includes(before) ? before : "";
    target.hidden = !labels;
  }

  chosen();
  return {
    element,
    read() {
      const texts = [first.value.trim()];
      const more = second.value.trim();
      if (!second.hidden && (more || model().pair)) texts.push(more);
      return { model: picker.value, texts, target: target.value || null };
    },
    fill(question) {
      picker.value = question.model;
      chosen();
      target.value = question.target ?? "";
      first.value = question.texts[0] ?? "";
      second.value = question.texts[1] ?? "";
      for (const box of [first, second]) grow(box);
    },
    working(now) {
      isWorking = now;
      button.textContent = now ? "Cancel" : "Explain";
      button.classList.toggle("cancel", now);
    },
    fold(now) {
      const texts = [first.value, second.hidden ? "" : second.value].filter(Boolean);
      asked.replaceChildren(h("b", {}, picker.value), " ", h("bdi", {}, texts.join(" / ")), h("span", { class: "change" }, "Change"));
      element.classList.toggle("folded", now);
    },
  };
}
