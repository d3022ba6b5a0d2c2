// The report in a frame: its data, what is chosen in it, and how to change that. Nothing is read from its drawing.
import { prepare, type Data } from "../data";
import type { Shown, Told } from "../link";
import type { EdgeRef } from "../state";

export interface Framed {
  data: Data;
  /** Changes the view; what is told back is how it is then. */
  show(wanted: Shown): Pick<Told, "state" | "address">;
}

/** What is in a frame that was loaded; null where it is no report. */
export function framed(frame: HTMLIFrameElement, tell: (told: Told) => void, takeOut: (edge: EdgeRef) => void): Framed | null {
  const inside = frame.contentDocument;
  const facts = inside?.getElementById("data")?.textContent;
  const page = inside?.querySelector<HTMLElement>(".attattr");
  if (!facts || !page) return null;
  page.dataset.takesOut = "";
  page.addEventListener("attattr-view", (event) => tell((event as CustomEvent<Told>).detail));
  page.addEventListener("attattr-takeout", (event) => takeOut((event as CustomEvent<EdgeRef>).detail));
  return {
    data: prepare(JSON.parse(facts)),
    show(wanted) {
      const detail: Shown = { ...wanted };
      page.dispatchEvent(new CustomEvent("attattr-show", { detail }));
      return detail.now!;
    },
  };
}
