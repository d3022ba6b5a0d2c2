// Where the columns of tokens stand, and how their labels are set so that they never overlap.
import { clipped, textWidth } from "./dom";

export interface Columns {
  /** centre of each shown unit, by unit; outside the window the nearest margin */
  x(unit: number): number;
  width: number;
  /** units whose label has room, with the text that fits */
  labels: { unit: number; text: string; bold: boolean }[];
  angle: 0 | 40 | 90;
  size: number;
  height: number; // of the labels
}

const SLOT = 15; // pixels that an upright label needs
const SLANTED = 21;

/** Of the units that are shown, in order. Even columns while every label has room; else the units that matter get room and the others share the rest. */
export function columns(
  names: string[],
  shown: number[],
  important: (unit: number) => number,
  left: number,
  right: number,
): Columns {
  const count = shown.length;
  const space = right - left;
  const even = space / count;
  const size = even >= 90 ? 15 : 13;
  const widest = Math.max(0, ...shown.map((unit) => textWidth(names[unit]!, size, 600)));
  const angle = even >= widest + 14 ? 0 : even >= SLANTED ? 40 : 90;

  const ranked = shown.filter((unit) => important(unit) > 0).sort((a, b) => important(b) - important(a));
  const roomy = even >= SLOT;
  const chosen = new Set(roomy ? shown : ranked.slice(0, Math.floor((0.8 * space) / SLOT)));
  const rest = roomy ? even : (space - SLOT * chosen.size) / Math.max(1, count - chosen.size);
  const centres = new Map<number, number>();
  let at = left;
  for (const unit of shown) {
    const wide = roomy ? even : chosen.has(unit) ? SLOT : rest;
    centres.set(unit, at + wide / 2);
    at += wide;
  }
  const limit = angle === 0 ? even - 10 : 104;
  const labels = shown
    .filter((unit) => chosen.has(unit))
    .map((unit) => ({ unit, text: clipped(names[unit]!, limit, size, 600), bold: important(unit) > 0 }));
  const longest = Math.max(0, ...labels.map(({ text }) => textWidth(text, size, 600)));
  const height = angle === 0 ? 26 : angle === 40 ? longest * 0.65 + 22 : longest + 16;
  return {
    x: (unit) => centres.get(unit) ?? (unit < (shown[0] ?? 0) ? left - 14 : right + 14),
    width: even,
    labels,
    angle,
    size,
    height,
  };
}
