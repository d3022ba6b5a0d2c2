// One tab stop for all the marks of a view: arrow keys move between them, Enter and the space bar do what a click does.

/** Which mark a key leads to, by its number; null: none of this view's keys. */
export type Next = (marks: Element[], at: number, key: string) => number | null;

/** Arrow keys along a list, its ends with Home and End. */
export function along(marks: Element[], at: number, key: string): number | null {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key];
  if (step) return at + step;
  return key === "Home" ? 0 : key === "End" ? marks.length - 1 : null;
}

/** Keeps one mark of a container in the tab order: the one that had the focus last, else the first. What is drawn anew
 * later is kept so too. */
export function roving(container: Element, selector: string, next: Next = along): void {
  const marks = () => [...container.querySelectorAll<HTMLElement | SVGElement>(selector)];
  const stop = (mark: Element) => {
    for (const each of marks()) if (each !== mark) each.setAttribute("tabindex", "-1");
    mark.setAttribute("tabindex", "0");
  };
  const settle = () => {
    const all = marks();
    const stops = all.filter((each) => each.getAttribute("tabindex") === "0");
    if (all.length && stops.length !== 1) stop(stops[0] ?? all[0]!);
  };
  container.addEventListener("focusin", (event) => {
    const mark = (event.target as Element).closest(selector);
    if (mark && mark === event.target) stop(mark);
  });
  container.addEventListener("keydown", (event) => {
    const { key, target } = event as KeyboardEvent;
    const all = marks();
    const at = all.indexOf(target as SVGElement);
    if (at < 0 || event.defaultPrevented) return;
    if (key === "Enter" || key === " ") {
      event.preventDefault();
      target!.dispatchEvent(new MouseEvent("click", { bubbles: true }));
      return;
    }
    const to = next(all, at, key);
    if (to === null) return;
    event.preventDefault();
    const mark = all[Math.max(0, Math.min(all.length - 1, to))]!;
    stop(mark);
    mark.focus();
  });
  new MutationObserver(settle).observe(container, { childList: true, subtree: true });
  settle();
}
