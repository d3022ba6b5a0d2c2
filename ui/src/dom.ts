// Elements without innerHTML: text only ever becomes a text node.
export { along, roving } from "./roving";

/** Which way words run: that of their first letter. The `auto` of browsers does not look into <bdi>, in which each stands. */
export function directionOf(words: string[]): "ltr" | "rtl" {
  const first = /\p{L}/u.exec(words.filter((word) => !/^[[<].*[\]>]$/.test(word)).join(" "))?.[0] ?? "";
  return /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u.test(first) ? "rtl" : "ltr";
}

type Value = string | number | boolean | null | undefined | ((event: never) => void);
type Child = Node | string | null | undefined | false;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, Value> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value as EventListener);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child): child is Node | string => child != null && child !== false));
  return element;
}

let context: CanvasRenderingContext2D | null | undefined;

/** Width in pixels of a text in the page's font. */
export function textWidth(text: string, size: number, weight = 400): number {
  if (context === undefined)
    context = typeof document === "undefined" ? null : document.createElement("canvas").getContext("2d");
  if (!context) return text.length * size * 0.55; // no browser: about so much
  context.font = `${weight} ${size}px ${FONT}`;
  return context.measureText(text).width;
}

export const FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif';

/** As much of a text as fits, with an ellipsis. */
export function clipped(text: string, width: number, size: number, weight = 400): string {
  if (textWidth(text, size, weight) <= width) return text;
  const letters = [...text];
  let low = 0;
  let high = letters.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (textWidth(`${letters.slice(0, middle).join("")}…`, size, weight) <= width) low = middle;
    else high = middle - 1;
  }
  return `${letters.slice(0, low).join("")}…`;
}

export type Rgb = readonly [number, number, number];

/** The page's colours as they are now: of the scheme, or of print. */
export function palette<T extends string>(element: Element, ...names: T[]): Record<T, Rgb> {
  const style = getComputedStyle(element.closest(".attattr") ?? document.body);
  const rgb = (hex: string): Rgb => [1, 3, 5].map((at) => parseInt(hex.trim().slice(at, at + 2), 16) || 0) as never;
  return Object.fromEntries(names.map((name) => [name, rgb(style.getPropertyValue(`--${name}`))])) as never;
}

/** A colour over a ground. */
export const over = (colour: Rgb, ground: Rgb, opacity: number): Rgb => colour.map((c, k) => opacity * c + (1 - opacity) * ground[k]!) as never;

/** Of two colours, from 1 to 21 (WCAG 2). */
export function contrast(one: Rgb, other: Rgb): number {
  const light = (colour: Rgb) => {
    const [r, g, b] = colour.map((c) => (c <= 10 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const [a, b] = [light(one), light(other)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

/** The colour for text on a ground: the usual one where it can be read (4.5), else black or white, of which one always can. */
export function legible(usual: Rgb, ground: Rgb): string | null {
  if (contrast(usual, ground) >= 4.5) return null;
  return contrast([0, 0, 0], ground) > contrast([255, 255, 255], ground) ? "#000000" : "#ffffff";
}

/** A row of buttons of which one is pressed. */
export function choice<T extends string>(
  label: string,
  options: readonly (readonly [T, string])[],
  value: T,
  choose: (value: T) => void,
): HTMLElement & { show(value: T): void } {
  const buttons = options.map(([name, text]) =>
    h("button", { type: "button", "data-value": name, click: () => choose(name) }, text),
  );
  const group = h("div", { class: "choice", role: "group", "aria-label": label, "data-noexport": true }, ...buttons);
  const show = (chosen: T) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.value === chosen));
  };
  show(value);
  return Object.assign(group, { show });
}
