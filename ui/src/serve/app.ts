// The page of the local server: one side with a question and its report, or two beside each other; its address says what.
import "./serve.css";
import { Foreign, LONGEST } from "../address";
import { h } from "../dom";
import { models as askModels, said, type Model } from "./api";
import { comparison } from "./compare";
import { fragmentOf, wantedOf, type Entry, type Wanted } from "./links";
import { sideView, type Side } from "./side";

const RIVALS: Record<string, string> = { mnli: "snli", snli: "mnli", rte: "mnli", mrpc: "rte" };
const TOO_LONG = `The texts are too long for the address (${LONGEST.toLocaleString("en")} characters): reload and Back bring them back in this tab, a link to it does not. “Save report” can be sent.`;

export async function start(root: HTMLElement): Promise<void> {
  let models: Model[];
  try {
    models = await askModels();
  } catch (error) {
    root.replaceChildren(h("p", { class: "error" }, said(error)));
    return;
  }
  const compare = h("button", { type: "button", class: "compare", "aria-pressed": "false", click: () => toggle() }, "Compare");
  const sides = h("main", { class: "sides" });
  const bar = h("header", {}, h("h1", {}, "attattr"), h("p", {}, "Which attention edges made this prediction?"), compare);
  const tooLong = h("p", { class: "too-long note", role: "status", hidden: true }, TOO_LONG);
  const both = comparison(
    (side, change) => all()[side]?.show(change),
    () => changed(true),
  );
  const first = side("First", 0);
  let second: Side | null = null;
  let later: ReturnType<typeof setTimeout> | undefined;
  sides.append(first.element);
  root.replaceChildren(bar, tooLong, both.element, sides);
  addEventListener("popstate", () => restore());
  restore();

  function all(): Side[] {
    return second ? [first, second] : [first];
  }

  function side(name: string, number: number): Side {
    return sideView(models, name, {
      changed,
      reported: () => both.set(all().map((each) => each.report())),
      told: (news) => both.told(number, news),
    });
  }

  function toggle(): void {
    if (second) {
      single();
      changed(true);
      return;
    }
    const { model, texts, target, ask } = first.read();
    const rival = RIVALS[model];
    beside().ask({ model: rival && models.some(({ name }) => name === rival) ? rival : model, texts, target: rival ? null : target, ask });
  }

  function beside(): Side {
    second ??= side("Second", 1);
    sides.append(second.element);
    toggled();
    return second;
  }

  function single(): void {
    second?.close();
    second = null;
    both.set([]);
    toggled();
  }

  function toggled(): void {
    root.classList.toggle("comparing", !!second);
    compare.setAttribute("aria-pressed", String(!!second));
    compare.textContent = second ? "One result" : "Compare";
  }

  /** Writes what is shown into the address and the history; steps are taken back one by one. */
  function changed(step: boolean): void {
    clearTimeout(later);
    const write = () => {
      const shown = all().filter((each) => each.wanted());
      const fragment = fragmentOf(shown.map((each) => each.wanted()!));
      const entry: Entry = { fragment, made: shown.map((each) => each.made()) };
      const fits = fragment.length <= LONGEST;
      const place = fragment && fits ? `#${fragment}` : location.pathname + location.search;
      tooLong.hidden = fits;
      if (step && fragment !== kept()?.fragment) history.pushState(entry, "", place);
      else history.replaceState(entry, "", place);
    };
    if (step) write();
    else later = setTimeout(write, 200); // a slider moves often
  }

  /** Shows what the address asks for. */
  function restore(): void {
    clearTimeout(later);
    const entry = kept();
    let wanted: Wanted[];
    const fragment = entry?.fragment ?? location.hash.slice(1);
    try {
      wanted = fragment ? wantedOf(fragment, models) : [];
    } catch (error) {
      if (!(error instanceof Foreign)) throw error;
      first.say(`${error.message}: it is ignored.`);
      return;
    }
    tooLong.hidden = fragment.length <= LONGEST;
    if (wanted.length < 2) single();
    if (wanted[0]) void first.open(wanted[0], entry?.made[0] ?? null);
    else first.clear();
    if (wanted[1]) void beside().open(wanted[1], entry?.made[1] ?? null);
  }
}

/** What was kept with this entry of the history, if it is ours. */
function kept(): Entry | null {
  const { state } = history;
  return typeof state?.fragment === "string" && Array.isArray(state.made) ? state : null;
}
