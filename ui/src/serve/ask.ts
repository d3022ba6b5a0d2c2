// What to ask a language model: a chat or a text, its sources, and perhaps the reply that is to be explained.
import { choice, h } from "../dom";

export interface Ask {
  /** role and what it says; of a plain text one, without a role */
  turns: [role: string, said: string][];
  sources: [name: string, text: string][];
  most: number;
  reply: string;
}

export interface AskForm {
  element: HTMLElement;
  read(): Ask;
  fill(ask: Ask): void;
  focus(): void;
}

const ROLES = ["system", "user", "assistant"];
export const MOST = 64;
export const EMPTY: Ask = { turns: [["user", ""]], sources: [], most: MOST, reply: "" };

export function askForm(send: () => void): AskForm {
  const turns = h("div", { class: "turns" });
  const sources = h("div", { class: "named" });
  const reply = textBox("Reply to explain; empty: one is written");
  const most = h("input", { type: "number", min: 1, max: 512, value: MOST, "aria-label": "Longest reply, in tokens" });
  let isPlain = false;
  const kind = choice("What the prompt is", [["chat", "Chat"], ["plain", "Plain text"]] as const, "chat", (value) => setPlain(value === "plain"));
  const add = h("button", { type: "button", class: "quiet", click: () => turns.append(turnRow(turns.childElementCount % 2 ? "assistant" : "user", "")) }, "Add a turn");
  const more = h(
    "details",
    {},
    h("summary", {}, "Sources, reply, length"),
    h("p", { class: "hint" }, "A source is a part of the prompt, its text as it stands there. Without any, the turns are the sources; of a single turn its paragraphs or lines."),
    sources,
    h("button", { type: "button", class: "quiet", click: () => sources.append(sourceRow(`source ${sources.childElementCount + 1}`, "")) }, "Name a source"),
    reply,
    h("label", {}, "Longest reply ", most, " tokens"),
  );
  const element = h("div", { class: "ask" }, kind, turns, add, more);

  function textBox(label: string): HTMLTextAreaElement {
    const box = h("textarea", {
      rows: 1, "aria-label": label, placeholder: label, spellcheck: "false", dir: "auto",
      input: () => grow(box),
      keydown: (event: KeyboardEvent) => {
        // documents have lines: Enter alone is one
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        send();
      },
    });
    return box;
  }

  function turnRow(role: string, said: string): HTMLElement {
    const picker = h("select", { "aria-label": "Who speaks" }, ...ROLES.map((each) => h("option", { value: each }, each)));
    picker.value = ROLES.includes(role) ? role : "user";
    const box = textBox("What is said");
    box.value = said;
    return rowOf(picker, box);
  }

  function sourceRow(name: string, text: string): HTMLElement {
    const box = textBox("Its text, as it stands in the prompt");
    box.value = text;
    return rowOf(h("input", { type: "text", "aria-label": "Name of the source", value: name }), box);
  }

  function rowOf(...parts: HTMLElement[]): HTMLElement {
    const row: HTMLElement = h("div", { class: "row" }, ...parts, h("button", { type: "button", class: "quiet", "aria-label": "Remove", click: () => row.remove() }, "×"));
    queueMicrotask(() => row.querySelectorAll("textarea").forEach(grow)); // when it stands in the page
    return row;
  }

  function setPlain(plain: boolean): void {
    isPlain = plain;
    kind.show(plain ? "plain" : "chat");
    element.classList.toggle("plain", plain);
    add.hidden = plain;
    if (!turns.childElementCount) turns.append(turnRow("user", ""));
  }

  const rows = (of: HTMLElement) => [...of.children].map((row) => [row.querySelector<HTMLInputElement>("select, input")!.value, row.querySelector("textarea")!.value] as [string, string]);
  return {
    element,
    read() {
      const said = rows(turns).filter(([, text]) => text.trim());
      return {
        turns: isPlain ? said.slice(0, 1).map(([, text]) => ["", text]) : said,
        sources: rows(sources).filter(([, text]) => text.trim()),
        most: Math.max(1, Math.min(512, Math.round(Number(most.value)) || MOST)),
        reply: reply.value.trim() ? reply.value : "",
      };
    },
    fill(ask) {
      turns.replaceChildren(...ask.turns.map(([role, said]) => turnRow(role, said)));
      sources.replaceChildren(...ask.sources.map(([name, text]) => sourceRow(name, text)));
      reply.value = ask.reply;
      most.value = String(ask.most);
      more.open = ask.sources.length > 0 || ask.reply !== "";
      setPlain(ask.turns.length === 1 && ask.turns[0]![0] === "");
    },
    focus: () => turns.querySelector("textarea")?.focus(),
  };
}

/** As high as its lines, up to some. */
export function grow(box: HTMLTextAreaElement): void {
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight + 2, 132)}px`;
}
