// Any view as an SVG or PNG of its own: what is on the screen is drawn again with its colours and places.
import { FONT } from "./dom";

const NS = "http://www.w3.org/2000/svg";
const COPIED = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap", "opacity",
  "font-size", "font-weight", "font-style", "text-anchor", "paint-order", "visibility", "image-rendering", "filter",
];
const MARGIN = 16;

export function toSvg(view: HTMLElement): string {
  const box = view.getBoundingClientRect();
  const [width, height] = [Math.ceil(box.width) + 2 * MARGIN, Math.ceil(box.height) + 2 * MARGIN];
  const svg = node("svg", { xmlns: NS, width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT });
  const ground = getComputedStyle(view.closest(".attattr") ?? view).backgroundColor;
  svg.append(node("rect", { width, height, fill: ground }));
  draw(view, svg, box.left - MARGIN, box.top - MARGIN);
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
  if (!/^rgba\(.*, 0\)$|^transparent$/.test(style.backgroundColor))
    into.append(node("rect", { x, y, width: box.width, height: box.height, fill: style.backgroundColor, rx: parseFloat(style.borderTopLeftRadius) || 0 }));
  const line = parseFloat(style.borderBottomWidth);
  if (line && style.borderBottomStyle !== "none") {
    const dash = style.borderBottomStyle === "dashed" ? "4 3" : "none";
    const at = y + box.height - line / 2;
    into.append(node("line", { x1: x, x2: x + box.width, y1: at, y2: at, stroke: style.borderBottomColor, "stroke-width": line, "stroke-dasharray": dash }));
  }
  for (const child of element.childNodes) {
    if (child instanceof Text) write(child, style, into, left, top);
    else if (child instanceof Element && !/^(INPUT|SELECT)$/.test(child.tagName)) draw(child, into, left, top);
  }
}

/** A text node, one <text> a line. */
function write(text: Text, style: CSSStyleDeclaration, into: SVGElement, left: number, top: number): void {
  const range = document.createRange();
  const lines: { words: string; x: number; y: number; bottom: number }[] = [];
  for (const { 0: word, index } of text.data.matchAll(/\S+\s*/gu)) {
    range.setStart(text, index);
    range.setEnd(text, index + word.trimEnd().length);
    const box = range.getBoundingClientRect();
    if (!box.width) continue;
    const last = lines.at(-1);
    if (last && Math.abs(last.y - box.top) < 2) last.words += word;
    else lines.push({ words: word, x: box.left, y: box.top, bottom: box.bottom });
  }
  const size = parseFloat(style.fontSize);
  for (const { words, x, y, bottom } of lines) {
    const element = node("text", {
      x: x - left, y: (y + bottom) / 2 - top + size * 0.35, fill: style.color, "font-size": size,
      "font-weight": style.fontWeight, "font-style": style.fontStyle,
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

export async function toPng(view: HTMLElement, scale = 2): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(toSvg(view))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width * scale;
  canvas.height = image.height * scale;
  const context = canvas.getContext("2d")!;
  context.scale(scale, scale);
  context.drawImage(image, 0, 0);
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("no picture"))), "image/png"));
}

export async function save(view: HTMLElement, name: string, kind: "svg" | "png"): Promise<void> {
  const blob = kind === "svg" ? new Blob([toSvg(view)], { type: "image/svg+xml" }) : await toPng(view);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${name}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
