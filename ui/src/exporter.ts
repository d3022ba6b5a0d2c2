// Any view as an SVG or PNG of its own: what is on the screen is drawn again with its colours and places.
import { clipped, FONT, h } from "./dom";

const NS = "http://www.w3.org/2000/svg";
const COPIED = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap", "opacity",
  "font-size", "font-weight", "font-style", "text-anchor", "paint-order", "visibility", "image-rendering", "filter",
];
const MARGIN = 16;
const LINE = 18; // of the title

/** With lines of title above: what it is of. */
export function toSvg(view: HTMLElement, title: readonly string[]): string {
  view.classList.add("exporting"); // in full, whatever the page folds
  const box = view.getBoundingClientRect();
  const head = title.length * LINE + (title.length && 8);
  const [width, height] = [Math.ceil(Math.max(box.width, view.scrollWidth)) + 2 * MARGIN, Math.ceil(box.height) + 2 * MARGIN + head];
  const svg = node("svg", { xmlns: NS, width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT });
  const { backgroundColor, color } = getComputedStyle(view.closest(".attattr") ?? view);
  svg.append(node("rect", { width, height, fill: backgroundColor }));
  title.forEach((line, k) => {
    const text = node("text", { x: MARGIN, y: MARGIN + 12 + k * LINE, fill: color, "font-size": 13, "font-weight": k ? 400 : 600 });
    text.textContent = clipped(line, width - 2 * MARGIN, 13, k ? 400 : 600);
    svg.append(text);
  });
  draw(view, svg, box.left - MARGIN, box.top - MARGIN - head);
  view.classList.remove("exporting");
  return new XMLSerializer().serializeToString(svg);
}

function node(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) if (key !== "xmlns") element.setAttribute(key, String(value));
  return element;
}

function draw(element: Element, into: SVGElement, left: number, top: number): void {
  const style = getComputedStyle(element);
  if (style.display === "none" || style.visibility === "hidden" || (element as HTMLElement).dataset?.noexport) return;
  const box = element.getBoundingClientRect();
  const [x, y] = [box.left - left, box.top - top];
  if (element instanceof SVGSVGElement) {
    const copy = copied(element) as SVGSVGElement;
    for (const [key, value] of Object.entries({ x, y, width: box.width, height: box.height })) copy.setAttribute(key, String(value));
    into.append(copy);
    return;
  }
  if (element instanceof HTMLCanvasElement) {
    // enlarged here, because a picture inside an SVG is smoothed
    const large = document.createElement("canvas");
    large.width = Math.round(box.width * 2);
    large.height = Math.round(box.height * 2);
    const context = large.getContext("2d")!;
    context.imageSmoothingEnabled = false;
    context.drawImage(element, 0, 0, large.width, large.height);
    into.append(node("image", { x, y, width: box.width, height: box.height, href: large.toDataURL() }));
    return;
  }
  if (!/^rgba\(.*, 0\)$|\/ 0\)$|^transparent$/.test(style.backgroundColor))
    for (const part of element.getClientRects())
      into.append(node("rect", { x: part.left - left, y: part.top - top, width: part.width, height: part.height, fill: style.backgroundColor, rx: parseFloat(style.borderTopLeftRadius) || 0 }));
  for (const side of ["Top", "Bottom"] as const) {
    const line = parseFloat(style[`border${side}Width`]);
    if (!line || style[`border${side}Style`] === "none") continue;
    const dash = style[`border${side}Style`] === "dashed" ? "4 3" : "none";
    const at = side === "Top" ? y + line / 2 : y + box.height - line / 2;
    into.append(node("line", { x1: x, x2: x + box.width, y1: at, y2: at, stroke: style[`border${side}Color`], "stroke-width": line, "stroke-dasharray": dash }));
  }
  if (element instanceof HTMLSelectElement) {
    const chosen = node("text", { x: x + parseFloat(style.paddingLeft), y: y + box.height / 2 + parseFloat(style.fontSize) * 0.35, fill: style.color, "font-size": parseFloat(style.fontSize) });
    chosen.textContent = element.selectedOptions[0]?.text ?? "";
    into.append(chosen);
    return;
  }
  for (const child of element.childNodes) {
    if (child instanceof Text) write(child, style, into, left, top);
    else if (child instanceof Element && child.tagName !== "INPUT") draw(child, into, left, top);
  }
}

interface Line {
  words: string;
  x: number;
  y: number;
  right: number;
  bottom: number;
}

/** The lines on which a text node stands, and their places; a long word may stand on several. */
export function linesOf(text: Text): Line[] {
  const range = document.createRange();
  const lines: Line[] = [];
  const add = (index: number, part: string, space: string): void => {
    range.setStart(text, index);
    range.setEnd(text, index + part.length);
    const boxes = [...range.getClientRects()].filter(({ width }) => width);
    const letters = [...part];
    if (boxes.length > 1 && letters.length > 1) {
      for (const letter of letters) {
        add(index, letter, "");
        index += letter.length;
      }
      if (lines.length) lines.at(-1)!.words += space;
      return;
    }
    const [box] = boxes;
    if (!box) return;
    const last = lines.at(-1);
    if (last && Math.abs(last.y - box.top) < 2) {
      Object.assign(last, { words: last.words + part + space, x: Math.min(last.x, box.left), right: Math.max(last.right, box.right) });
    } else lines.push({ words: part + space, x: box.left, y: box.top, right: box.right, bottom: box.bottom });
  };
  for (const { 0: word, index } of text.data.matchAll(/\S+\s*/gu)) add(index, word.trimEnd(), word.slice(word.trimEnd().length));
  return lines;
}

/** A text node, one <text> a line. */
function write(text: Text, style: CSSStyleDeclaration, into: SVGElement, left: number, top: number): void {
  const size = parseFloat(style.fontSize);
  for (const { words, x, y, right, bottom } of linesOf(text)) {
    const element = node("text", {
      x: x - left, y: (y + bottom) / 2 - top + size * 0.35, fill: style.color, "font-size": size,
      "font-weight": style.fontWeight, "font-style": style.fontStyle, textLength: (right - x).toFixed(2),
    });
    element.textContent = words.trimEnd();
    into.append(element);
  }
}

/** An SVG with its style sheet's values written into it. */
function copied(original: Element): Element {
  const copy = original.cloneNode(true) as Element;
  const [from, to] = [[original, ...original.querySelectorAll("*")], [copy, ...copy.querySelectorAll("*")]];
  const gone: Element[] = [];
  from.forEach((source, k) => {
    const style = getComputedStyle(source);
    const target = to[k]!;
    if (style.display === "none" || (source.classList.contains("reach"))) {
      gone.push(target);
      return;
    }
    for (const name of COPIED) {
      const value = style.getPropertyValue(name);
      if (value) target.setAttribute(name, value);
    }
    for (const name of ["class", "tabindex", "role", "aria-label", "aria-pressed", "style"]) target.removeAttribute(name);
  });
  for (const each of gone) each.remove();
  return copy;
}

export async function toPng(view: HTMLElement, title: readonly string[], scale = 2): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(toSvg(view, title))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width * scale;
  canvas.height = image.height * scale;
  const context = canvas.getContext("2d")!;
  context.scale(scale, scale);
  context.drawImage(image, 0, 0);
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("no picture"))), "image/png"));
}

export async function save(view: HTMLElement, title: readonly string[], name: string, kind: "svg" | "png"): Promise<void> {
  const blob = kind === "svg" ? new Blob([toSvg(view, title)], { type: "image/svg+xml" }) : await toPng(view, title);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${name}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Two buttons that save a view, named by `data-view`. */
export function saves(view: HTMLElement, title: () => string[], name: () => string): HTMLElement {
  const button = (kind: "svg" | "png") =>
    h(
      "button",
      { type: "button", class: "quiet", "aria-label": `Save ${view.dataset.view} as ${kind.toUpperCase()}`, click: () => void save(view, title(), name(), kind) },
      kind.toUpperCase(),
    );
  return h("span", { class: "saves", "data-noexport": true }, button("svg"), button("png"));
}
