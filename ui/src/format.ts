// Numbers as text. A minus is a real minus sign.

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

/** An error, always as a power of ten. */
export function tiny(value: number | null): string {
  return value === null ? "–" : value === 0 ? "0" : value.toExponential(1).replaceAll("-", "−");
}

/** Opacity of a mark: nothing is nothing, and the weakest that is shown can still be seen. */
export function strength(value: number, largest: number): number {
  const share = largest ? Math.min(1, Math.abs(value) / largest) : 0;
  return share < 0.005 ? 0 : 0.06 + 0.94 * share ** 0.8;
}
