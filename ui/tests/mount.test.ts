// @vitest-environment jsdom
// The report as a part of another page: it is there, and it goes again.
import { beforeAll, expect, test, vi } from "vitest";
import { mount } from "../src/report";
import { level, report } from "./toy";

beforeAll(() => {
  vi.stubGlobal("ResizeObserver", class { observe() {} });
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
  HTMLCanvasElement.prototype.getContext = (() => null) as never;
});

test("mounts and unmounts", () => {
  const root = document.createElement("div");
  const unmount = mount(root, report);
  expect(root.querySelector("h1")!.textContent).toBe("<b>yes</b> 75.0 %");
  expect(root.querySelectorAll("b").length).toBeLessThan(8);
  expect(root.querySelectorAll(".cell").length).toBe(2 * level.layers.length);
  expect(root.querySelectorAll(".edge-list tbody tr").length).toBe(1);
  expect(root.textContent).toContain("A note.");
  unmount();
  expect(root.childNodes.length).toBe(0);
});

test("two reports stand beside each other with views of their own", () => {
  const [one, other] = [document.createElement("div"), document.createElement("div")];
  mount(one, report);
  mount(other, { ...report, edges: null });
  expect(one.querySelectorAll("[id]").length + other.querySelectorAll("[id]").length).toBe(0);
  expect(other.textContent).toContain("made without edges");
});

test("a first look is no integral that did not converge", () => {
  const root = document.createElement("div");
  const sites = report.sites.map((site, n) => ({ ...site, converged: false, method: n ? "gradient" : "integral" }));
  mount(root, { ...report, sites });
  const rows = [...root.querySelectorAll(".completeness tbody tr")];
  expect(rows.map((row) => row.lastElementChild!.textContent)).toEqual(["not converged", ...sites.slice(1).map(() => "first look")]);
  expect(rows.filter((row) => row.classList.contains("unsure")).length).toBe(1);
  expect(root.textContent).toContain("1 layer did not converge");
  expect(root.textContent).not.toContain("In every layer the scores add up");
});
