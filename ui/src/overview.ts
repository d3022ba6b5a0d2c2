// For long inputs: the whole text as one strip of bars, the window that the views show, and a search.
import type { Report } from "./types";
import { effectsOf, type Units } from "./data";
import { h } from "./dom";
import { strength } from "./format";
import type { Store } from "./state";

export const LONG = 60;
const NS = "http://www.w3.org/2000/svg";

export function overviewView(report: Report, store: Store, units: () => Units): HTMLElement | null {
  if (units().n <= LONG) return null;
  const canvas = h("canvas", { "aria-hidden": "true" });
  const brush = h("div", { class: "brush", role: "slider", tabindex: 0, "aria-label": "Window of tokens" });
  const ticks = document.createElementNS(NS, "svg");
  ticks.setAttribute("aria-hidden", "true");
  const strip = h("div", { class: "strip" }, canvas, ticks, brush);
  const found = h("span", { class: "count", role: "status" });
  const search = h("input", {
    type: "search",
    placeholder: "find a token",
    "aria-label": "Find a token",
    input: () => seek(0),
    keydown: (event: KeyboardEvent) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      seek(event.shiftKey ? -1 : 1);
    },
  });
  const button = (text: string, label: string, click: () => void) => h("button", { type: "button", "aria-label": label, click }, text);
  const frame = h(
    "div",
    { class: "overview", "data-noexport": true },
    strip,
    h(
      "div",
      { class: "controls" },
      search,
      found,
      button("−", "Wider window", () => resize(2)),
      button("+", "Narrower window", () => resize(0.5)),
      button("All", "Whole input", () => store.set({ window: [0, units().n] })),
    ),
  );
  let hits: number[] = [];
  let current = -1;

  function move(first: number, size: number): void {
    const { n } = units();
    const wide = Math.max(10, Math.min(n, Math.round(size)));
    const start = Math.max(0, Math.min(n - wide, Math.round(first)));
    const [a, b] = store.state.window;
    if (a !== start || b !== start + wide) store.set({ window: [start, start + wide] });
  }

  function resize(by: number): void {
    const [first, end] = store.state.window;
    const size = (end - first) * by;
    const { n, top } = units();
    const whole = end - first === n && top !== null; // from the whole text to the top of the tree
    const centre = whole ? top : (first + end) / 2;
    move(centre - size / 2, size);
  }

  function seek(step: number): void {
    const level = units();
    const text = search.value.trim().toLowerCase();
    hits = text ? level.names.flatMap((name, unit) => (name.toLowerCase().includes(text) ? unit : [])) : [];
    current = !hits.length ? -1 : step ? (Math.max(0, current) + step + hits.length) % hits.length : 0;
    found.textContent = !text ? "" : hits.length ? `${current + 1} of ${hits.length}` : "not found";
    const hit = hits[current];
    if (hit !== undefined) {
      const [first, end] = store.state.window;
      if (hit < first || hit >= end) move(hit - (end - first) / 2, end - first);
    }
    store.set({ marked: hit === undefined ? [] : level.members[hit]! });
    paint();
  }

  function draw(): void {
    const level = units();
    const [width, height] = [strip.clientWidth || 800, 34];
    const scale = window.devicePixelRatio || 1;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const context = canvas.getContext("2d")!;
    context.scale(scale, scale);
    const style = getComputedStyle(strip);
    const values = effectsOf(report, store.state.layer, level) ?? [];
    const largest = Math.max(0, ...values.map(Math.abs));
    const step = width / level.n;
    values.forEach((value, unit) => {
      const high = (height / 2 - 2) * Math.sqrt(strength(value, largest));
      context.fillStyle = style.getPropertyValue(value < 0 ? "--minus" : "--plus");
      context.fillRect(unit * step, value < 0 ? height / 2 : height / 2 - high, Math.max(1, step - 0.5), high);
    });
    paint();
  }

  function paint(): void {
    const { n } = units();
    const [first, end] = store.state.window;
    brush.style.left = `${(100 * first) / n}%`;
    brush.style.width = `${(100 * (end - first)) / n}%`;
    brush.setAttribute("aria-valuemin", "0");
    brush.setAttribute("aria-valuemax", String(n - (end - first)));
    brush.setAttribute("aria-valuenow", String(first));
    brush.setAttribute("aria-valuetext", `tokens ${first} to ${end - 1} of ${n}`);
    ticks.setAttribute("viewBox", `0 0 ${n} 34`);
    ticks.setAttribute("preserveAspectRatio", "none");
    ticks.replaceChildren(
      ...hits.map((hit, k) => {
        const tick = document.createElementNS(NS, "rect");
        for (const [name, value] of Object.entries({ x: hit, y: 0, width: 1, height: k === current ? 34 : 6 }))
          tick.setAttribute(name, String(value));
        return tick;
      }),
    );
  }

  let grip: number | null = null;
  strip.addEventListener("pointerdown", (event) => {
    const { n } = units();
    const box = strip.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * n;
    const [first, end] = store.state.window;
    const inside = at >= first && at < end;
    grip = inside ? at - first : (end - first) / 2;
    if (!inside) move(at - grip, end - first);
    strip.setPointerCapture(event.pointerId);
  });
  strip.addEventListener("pointermove", (event) => {
    if (grip === null) return;
    const box = strip.getBoundingClientRect();
    const [first, end] = store.state.window;
    move(((event.clientX - box.left) / box.width) * units().n - grip, end - first);
  });
  strip.addEventListener("pointerup", () => (grip = null));
  brush.addEventListener("keydown", (event) => {
    const [first, end] = store.state.window;
    const step = { ArrowLeft: -5, ArrowRight: 5, PageUp: first - end, PageDown: end - first, Home: -1e9, End: 1e9 }[event.key];
    if (step !== undefined) move(first + step, end - first);
    else if (event.key === "+" || event.key === "-") resize(event.key === "+" ? 0.5 : 2);
    else return;
    event.preventDefault();
  });
  store.on(["unit", "layer", "theme"], draw);
  store.on(["window"], paint);
  new ResizeObserver(draw).observe(strip);
  return frame;
}
