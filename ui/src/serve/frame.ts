// The report in a frame: its data, what is chosen in it, and how to change that. Nothing is read from its drawing.
import { prepare, type Data } from "../data";
import type { Shown, Told } from "../link";
import type { EdgeRef } from "../state";
import type { GenerationFacts } from "../types";

interface Frame {
  /** Changes the view; what is told back is how it is then. */
  show(wanted: Shown): Pick<Told, "state" | "address">;
}

export interface Framed extends Frame {
  data: Data;
}

/** The page of a reply. */
export interface FramedReply extends Frame {
  made: GenerationFacts;
  /** Marks the sources that are out. */
  mark(names: string[]): void;
}

/** What is in a frame that was loaded; null where it is no report. */
export function framed(frame: HTMLIFrameElement, tell: (told: Told) => void, takeOut: (what: EdgeRef | string) => void): Framed | FramedReply | null {
  const inside = frame.contentDocument;
  const text = inside?.getElementById("data")?.textContent;
  const page = inside?.querySelector<HTMLElement>(".attattr");
  if (!text || !page) return null;
  page.addEventListener("attattr-view", (event) => tell((event as CustomEvent<Told>).detail));
  page.addEventListener("attattr-takeout", (event) => takeOut((event as CustomEvent<EdgeRef>).detail));
  page.addEventListener("attattr-takeout-source", (event) => takeOut((event as CustomEvent<string>).detail));
  const facts = JSON.parse(text);
  const show = (wanted: Shown) => {
    const detail: Shown = { ...wanted };
    page.dispatchEvent(new CustomEvent("attattr-show", { detail }));
    return detail.now!;
  };
  if ("spans" in facts) {
    page.dataset.takesSources = "";
    return { made: facts, show, mark: (names) => page.dispatchEvent(new CustomEvent("attattr-out", { detail: names })) };
  }
  page.dataset.takesOut = "";
  return { data: prepare(facts), show };
}
