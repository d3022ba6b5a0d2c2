// Which of the lines that lie over each other a pointer means: the reach of one covers others.

const NEAR = 4; // pixels: on the line itself

/** The group of the line that is meant, of those whose `.reach` is under the pointer. */
export function aimed({ clientX: x, clientY: y, currentTarget }: MouseEvent): SVGGElement {
  const under = document.elementsFromPoint(x, y).filter((each) => each.matches(".reach")) as SVGPathElement[];
  if (under.length < 2) return currentTarget as SVGGElement;
  const gaps = under.map((reach) => gap(reach, x, y)); // the topmost first, which are the thinner ones
  const on = gaps.findIndex((of) => of <= NEAR);
  return under[on < 0 ? gaps.indexOf(Math.min(...gaps)) : on]!.parentElement as Element as SVGGElement;
}

/** Pixels from the line as it is drawn. */
function gap(reach: SVGPathElement, x: number, y: number): number {
  const at = new DOMPoint(x, y).matrixTransform(reach.getScreenCTM()!.inverse());
  const length = reach.getTotalLength();
  const steps = Math.max(1, Math.ceil(length / 3));
  let least = Infinity;
  for (let step = 0; step <= steps; step++) {
    const point = reach.getPointAtLength((length * step) / steps);
    least = Math.min(least, Math.hypot(point.x - at.x, point.y - at.y));
  }
  const line = reach.parentElement!.querySelector(".line")!;
  return least - Number(line.getAttribute("stroke-width")) / 2;
}
