// For fingers and small screens: what is pinned, on a sheet at the foot of the screen; boxes that scroll to what is found.
import "./touch.css";
import { h } from "./dom";
import type { Store } from "./state";

/** Pixels that a finger needs. */
export const FINGER = 34;

export function fingers(): boolean {
  return matchMedia("(pointer: coarse)").matches;
}

/** A sheet that takes the details in while something is pinned, where their own place may be out of sight. */
export function sheetView(store: Store, details: HTMLElement): HTMLElement {
  const own = details.parentElement!;
  const page = details.closest<HTMLElement>(".part, .attattr")!;
  let tapped = -Infinity; // how far down the page
  const unpin = () => store.set({ pinned: null });
  const close = h("button", { type: "button", class: "close", "aria-label": "Close", click: unpin }, "×");
  const sheet = h("div", { class: "sheet", role: "dialog", "aria-label": "The chosen edge", "data-noexport": true, hidden: true }, close);

  function place(): void {
    const wanted = !!store.state.pinned && matchMedia("(max-width: 1000px), (pointer: coarse)").matches;
    if (wanted !== sheet.hidden) return;
    own.style.minHeight = wanted ? `${own.offsetHeight}px` : ""; // nothing below moves under the finger
    (wanted ? sheet : own).append(details);
    sheet.hidden = !wanted;
  }

  /** The page has room for the sheet, and what was tapped comes up from under it. */
  function uncover(): void {
    page.style.setProperty("--sheet", `${sheet.offsetHeight}px`);
    const covered = tapped - scrollY + FINGER - sheet.getBoundingClientRect().top;
    if (!sheet.hidden && covered > 0) scrollBy(0, covered);
  }

  const tap = (event: MouseEvent) => {
    if (sheet.contains(event.target as Node)) return;
    tapped = scrollY + (event.detail ? event.clientY : (event.target as Element).getBoundingClientRect().bottom); // 0: by a key
  };
  page.addEventListener("click", tap, true);
  for (const scrolls of ["touchmove", "wheel"]) page.addEventListener(scrolls, () => (tapped = -Infinity), { passive: true });
  new ResizeObserver(uncover).observe(sheet);

  // it would cover the matrices that a head's button leads to
  sheet.addEventListener("click", (event) => (event.target as Element).closest(".shares button") && unpin());
  store.on(["pinned"], place);
  new ResizeObserver(place).observe(own);
  return sheet;
}

/** Scrolls a box, never the page, until an element in it can be seen; at its foot, `hem` pixels hide what is there. */
export function reveal(box: HTMLElement, element: Element, hem = 0): void {
  const [outer, inner] = [box.getBoundingClientRect(), element.getBoundingClientRect()];
  if (inner.top < outer.top || inner.bottom > outer.bottom - hem) box.scrollTop += inner.top - outer.top - (box.clientHeight - inner.height) / 2;
}
