// At the left of the graph: each layer's name, and what its attention as a whole did.
import type { Selection } from "d3-selection";
import { textWidth } from "./dom";
import { plain, quantity, signed } from "./format";
import type { Report } from "./types";

const BAR = 42; // pixels of the bar beside a layer's name

export interface Band {
  site: number;
  row: number; // its middle
}

/** Pixels for the names. */
const spaceOf = (names: string[]) => Math.max(40, ...names.map((name) => textWidth(name, 12)));

/** Pixels for all of it. */
export const bandWidth = (names: string[], bars: boolean) => spaceOf(names) + (bars ? BAR + 52 : 0);

/** Each layer's name; and as a bar, from what F is without its attention to what it is. */
export function drawBands(
  ground: Selection<SVGGElement, unknown, null, undefined>, report: Report, bands: Band[], names: string[], bars: boolean, y: (row: number) => number,
): void {
  const value = report.target.value ?? 0;
  const without = ({ site }: { site: number }) => report.sites[site]!.baseline_output ?? value;
  const all = [0, value, ...bands.map(without)];
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const textSpace = spaceOf(names);
  const x = (of: number) => 10 + textSpace + ((of - least) / (most - least || 1)) * BAR;
  const step = Math.abs(y(0) - y(1));
  const group = ground
    .selectAll<SVGGElement, Band>("g.band")
    .data(bands)
    .join((enter) => {
      const made = enter.append("g").attr("class", "band");
      made.append("title");
      made.append("text").attr("class", "layer");
      made.append("line").attr("class", "track");
      made.append("rect").attr("class", "did");
      made.append("text").attr("class", "did");
      return made;
    })
    .attr("transform", ({ row }) => `translate(0,${y(row)})`);
  const thinned = Math.ceil(13 / step);
  group.select("text.layer").attr("x", 4 + textSpace).attr("dy", "0.32em").text((_, k) => (k % thinned ? "" : names[k]!));
  group.select("title").text((band, k) =>
    bars ? `${names[k]}: without its attention the ${quantity(report)} is ${plain(without(band))}, with it ${plain(value)}` : "",
  );
  const high = Math.max(2, Math.min(9, step * 0.5));
  group.selectAll(".did, .track").style("display", bars ? "inline" : "none");
  group.classed("minus", (band) => without(band) > value);
  group.select("line.track").attr("x1", x(least)).attr("x2", x(most));
  group
    .select("rect.did")
    .attr("x", (band) => Math.min(x(value), x(without(band))))
    .attr("width", (band) => Math.max(1, Math.abs(x(value) - x(without(band)))))
    .attr("y", -high / 2)
    .attr("height", high);
  group.select("text.did").attr("x", x(most) + 5).attr("dy", "0.32em").text((band, k) => (k % thinned ? "" : signed(value - without(band))));
}
