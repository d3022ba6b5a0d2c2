// The text itself: each token on a ground as strong as what attending to it contributed.
import type { Units } from "./data";
import { h } from "./dom";
import { signed, strength } from "./format";
import type { Store } from "./state";

export function tokenView(store: Store, units: () => Units): HTMLElement {
  const frame = h("div", { class: "tokens" });
  let chips: { unit: number; element: HTMLElement }[] = [];

  function draw(): void {
    const level = units();
    const [first, end] = store.state.window;
    const values = level.contributions;
    const largest = Math.max(0, ...(values ?? []).map(Math.abs));
    chips = [];
    const lines: HTMLElement[] = [];
    let segment: number | null = null;
    let line: HTMLElement | null = null;
    for (let unit = first; unit < end; unit++) {
      const own = level.segments[unit]!;
      if (!line || (own !== null && segment !== null && own !== segment)) {
        line = h("p", { dir: "auto" });
        lines.push(line);
      }
      segment = own ?? segment;
      if (!level.joined[unit] || unit === first) line.append(" ");
      const value = values?.[unit] ?? 0;
      const chip = h(
        "span",
        {
          class: `chip${level.special[unit] ? " special" : ""}${value < 0 ? " minus" : ""}`,
          role: "button",
          tabindex: unit === first ? 0 : -1,
          "aria-label": values ? `${level.names[unit]}, ${signed(value)}` : level.names[unit]!,
          title: values ? signed(value) : null,
          pointerenter: () => mark(unit),
          pointerleave: () => store.set({ marked: [] }),
          focus: () => mark(unit),
          blur: () => store.set({ marked: [] }),
        },
        h("bdi", {}, level.names[unit]!),
      );
      chip.style.setProperty("--s", strength(value, largest).toFixed(3));
      chip.classList.toggle("strong", strength(value, largest) > 0.62);
      chips.push({ unit, element: chip });
      line.append(chip);
    }
    frame.replaceChildren(...lines);
    paint();
  }

  function mark(unit: number): void {
    store.set({ marked: units().members[unit]! });
  }

  function paint(): void {
    const level = units();
    const { hover, pinned, marked } = store.state;
    const lit = hover ?? pinned;
    const query = new Set((lit?.query ?? []).map((position) => level.unitOf[position]));
    const key = new Set((lit?.key ?? marked).map((position) => level.unitOf[position]));
    for (const { unit, element } of chips) {
      element.classList.toggle("query", query.has(unit));
      element.classList.toggle("key", key.has(unit));
      if (lit && key.has(unit)) reveal(element);
    }
  }

  /** Long texts scroll inside their frame. */
  function reveal(element: HTMLElement): void {
    const [outer, inner] = [frame.getBoundingClientRect(), element.getBoundingClientRect()];
    if (inner.top < outer.top || inner.bottom > outer.bottom) frame.scrollTop += inner.top - outer.top - 28;
  }

  frame.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = chips.findIndex(({ element }) => element === event.target);
    const next = step && chips[at + step];
    if (!next) return;
    chips[at]!.element.tabIndex = -1;
    next.element.tabIndex = 0;
    next.element.focus();
  });

  store.on(["unit", "window"], draw);
  store.on(["hover", "pinned", "marked"], paint);
  return frame;
}
