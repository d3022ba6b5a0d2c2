// Dark or light, or paper: which colours hold, and a button to choose.
import { h } from "./dom";
import type { State } from "./state";

export interface Look {
  button: HTMLElement;
  /** From now on this page has these colours. */
  dress(page: HTMLElement): void;
  leave(): void;
}

/** `tell` is called with the colours that hold, when they change and for print, which has a width of its own. */
export function lookOf(tell: (theme: NonNullable<State["theme"]>) => void): Look {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const print = matchMedia("print");
  let page: HTMLElement | null = null;
  let printing = false;
  const chosen = () => page?.dataset.theme as "light" | "dark" | undefined;
  const scheme = () => chosen() ?? (dark.matches ? "dark" : "light");

  function look(): void {
    const paper = print.matches || printing;
    page?.classList.toggle("printing", paper);
    tell(paper ? "print" : scheme());
  }

  function turn(): void {
    if (!page) return;
    page.dataset.theme = document.documentElement.dataset.theme = scheme() === "dark" ? "light" : "dark";
    look(); // canvases are drawn in the new colours
  }

  const before = (): void => ((printing = true), look());
  const after = (): void => ((printing = false), look());
  return {
    button: h("button", { type: "button", class: "theme", "aria-label": "Dark or light", click: turn }, "◐"),
    dress(of) {
      page = of;
      for (const query of [dark, print]) query.addEventListener("change", look);
      window.addEventListener("beforeprint", before);
      window.addEventListener("afterprint", after);
      look();
    },
    leave() {
      window.removeEventListener("beforeprint", before);
      window.removeEventListener("afterprint", after);
      for (const query of [dark, print]) query.removeEventListener("change", look);
    },
  };
}
