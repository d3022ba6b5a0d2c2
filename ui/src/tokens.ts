// The text itself: each word on a ground as strong as what attending to it gave in the chosen layer.
import { flowOf } from "./flow";
import type { Data, Units } from "./data";
import { effectsOf, wordEffects } from "./data";
import { directionOf, h, legible, over, palette } from "./dom";
import { signed, strength } from "./format";
import { reveal } from "./sheet";
import type { Store } from "./state";

const NAMES = ["paper", "ink", "soft", "plus", "minus"] as const;
const HEM = 30; // pixels at the foot of a long text that fade

interface Chip {
  axis: number;
  members: number[];
  element: HTMLElement;
}

export function tokenView(data: Data, store: Store, units: () => Units): HTMLElement {
  const { report } = data;
  const frame = h("div", { class: "tokens" });
  const more = h("button", { type: "button", class: "more", "data-noexport": true, click: () => open(!box.classList.contains("whole")) }, "Show all");
  const box = h("div", { class: "folded" }, frame, more);
  let chips: Chip[] = [];
  let colours = palette(frame, ...NAMES);

  function open(whole: boolean): void {
    box.classList.toggle("whole", whole);
    more.textContent = whole ? "Show less" : "Show all";
    measure();
  }

  /** Up to eight lines stand in full; of more, the first, fading. */
  function measure(): void {
    const line = parseFloat(getComputedStyle(frame).lineHeight) || 29;
    box.classList.toggle("long", frame.scrollHeight > 8.5 * line);
  }

  function draw(): void {
    colours = palette(frame, ...NAMES);
    const level = units();
    const { window: [first, end], unit, layer, scale } = store.state;
    chips = [];
    const lines: HTMLElement[] = [];
    let segment: number | null = null;
    let line: HTMLElement | null = null;
    const values = effectsOf(report, layer, level);
    const largest = Math.max(scale?.[unit][layer] ?? 0, ...(values ?? []).map(Math.abs));
    let group: HTMLElement | null = null;
    for (let at = first; at < end; at++) {
      const own = level.segments[at]!;
      if (!line || (own !== null && segment !== null && own !== segment)) {
        line = h("p", { dir: directionOf(level.names.slice(at, end).filter((_, k) => level.segments[at + k] === own || own === null)) });
        lines.push(line);
        group = null;
      }
      segment = own ?? segment;
      if (!group || !level.joined[at]) {
        line.append(" ", (group = h("span", { class: "whole" }))); // what belongs together is not parted by a line's end
      }
      group.append(chip(0, level.members[at]!, level.names[at]!, values?.[at] ?? null, largest, level.special[at]!));
    }
    report.axes.slice(1).forEach((facts, k) => lines.push(other(k + 1, facts.name)));
    frame.replaceChildren(...lines);
    measure();
    paint();
  }

  /** The tokens of another axis, as a decoder has. */
  function other(axis: number, name: string): HTMLElement {
    const { names, members } = flowOf(data, units())?.axes[axis] ?? {
      names: report.axes[axis]!.names,
      members: report.axes[axis]!.names.map((_, i) => [i]),
    };
    const values = report.sites[store.state.layer]?.key_axis === axis ? wordEffects(report, store.state.layer, members) : null;
    const largest = Math.max(0, ...(values ?? []).map(Math.abs));
    const line = h("p", { dir: directionOf(names) }, h("span", { class: "axis" }, `${name}: `));
    names.forEach((text, unit) => line.append(" ", chip(axis, members[unit]!, text, values?.[unit] ?? null, largest, false)));
    return line;
  }

  function chip(axis: number, members: number[], name: string, value: number | null, largest: number, special: boolean): HTMLElement {
    const said = value === null ? name : `${name}, ${signed(value)}`;
    const mark = () => store.set({ marked: axis === 0 ? members : [] });
    const element = h(
      "span",
      {
        class: `chip${special ? " special" : ""}${(value ?? 0) < 0 ? " minus" : ""}`,
        role: "button",
        tabindex: chips.length ? -1 : 0,
        "aria-label": said,
        title: value === null ? null : signed(value),
        pointerenter: mark,
        pointerleave: () => store.set({ marked: [] }),
        focus: mark,
        blur: () => store.set({ marked: [] }),
      },
      h("bdi", {}, name),
    );
    const s = strength(value ?? 0, largest);
    element.style.setProperty("--s", s.toFixed(3));
    const ground = over(colours[(value ?? 0) < 0 ? "minus" : "plus"], colours.paper, s);
    element.style.color = legible(special ? colours.soft : colours.ink, ground) ?? "";
    chips.push({ axis, members, element });
    return element;
  }

  function paint(): void {
    const { hover, pinned, marked } = store.state;
    const lit = hover ?? pinned;
    const facts = lit && report.sites[lit.site]!;
    const has = (members: number[], positions: number[]) => members.some((i) => positions.includes(i));
    let far: HTMLElement | null = null;
    for (const { axis, members, element } of chips) {
      const key = facts ? axis === facts.key_axis && has(members, lit.key) : axis === 0 && has(members, marked);
      element.classList.toggle("query", !!facts && axis === facts.query_axis && has(members, lit.query));
      element.classList.toggle("key", key);
      if (key) far ??= element;
    }
    if (far && !far.matches(":hover, :focus")) reveal(frame, far, box.classList.contains("long") ? HEM : 0);
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

  store.on(["unit", "window", "layer", "theme", "scale"], draw);
  store.on(["hover", "pinned", "marked"], paint);
  new ResizeObserver(measure).observe(frame);
  return box;
}
