// Numbers as text, scores to three places everywhere. A minus is a real minus sign.
import type { Report } from "./types";

/** A score with its sign; small ones as powers of ten. */
export function signed(value: number | null | undefined, digits = 3): string {
  if (value == null || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 10 ** -digits / 2 ? size.toExponential(1).replace("e-", "e−") : size.toFixed(digits);
  return (value < 0 ? "−" : "+") + text;
}

export function plain(value: number | null | undefined, digits = 3): string {
  if (value == null || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  const text = size && size < 10 ** -digits / 2 ? size.toExponential(1).replace("e-", "e−") : size.toFixed(digits);
  return (value < 0 ? "−" : "") + text;
}

export function percent(value: number | null): string {
  if (value == null) return "–";
  if (value > 0 && value < 0.001) return "<0.1 %";
  if (value < 1 && value > 0.999) return ">99.9 %";
  return `${(100 * value).toFixed(1)} %`;
}

export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** What is explained, as a noun. */
export function quantity({ target }: Report): string {
  return target.output !== "value" ? target.output : target.kind === "similarity" ? "similarity" : "value";
}

/** An error, always as a power of ten. */
export function tiny(value: number | null): string {
  return value === null ? "–" : value === 0 ? "0" : value.toExponential(1).replaceAll("-", "−");
}

/** A small share in percent, to two digits. */
export function share(value: number | null): string {
  if (value === null) return "–";
  const of = 100 * value;
  return `${of === 0 ? "0" : of < 0.001 ? of.toExponential(0).replace("-", "−") : Number(of.toPrecision(2))} %`;
}

/** Opacity of a mark: nothing is nothing, and the weakest that is shown can still be seen. */
export function strength(value: number, largest: number): number {
  const share = largest ? Math.min(1, Math.abs(value) / largest) : 0;
  return share < 0.005 ? 0 : 0.06 + 0.94 * share ** 0.8;
}
