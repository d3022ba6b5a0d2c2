// A report and what stands around it: how it tells what is chosen in it, and how it is told.
//
// On the report's element, `attattr-view` says that something changed (detail: Told), and `attattr-show` changes it
// (detail: Shown). So a page that frames a report needs nothing of its insides.
import { fingerprint, Foreign, KEPT, readView, STEPS, written } from "./address";
import type { Data } from "./data";
import { h } from "./dom";
import type { State, Store } from "./state";

export interface Told {
  state: State;
  changed: (keyof State)[];
  /** the view, as it stands in an address */
  address: string;
  /** whether Back should take this back */
  step: boolean;
}

export interface Shown {
  /** a view as it stood in an address; "" is how the report opens */
  address?: string;
  change?: Partial<State>;
  /** the answer: what is shown then */
  now?: Pick<Told, "state" | "address">;
}

export const TOLD = [...KEPT, "hover", "marked"] as const;

export function link(page: HTMLElement, data: Data, store: Store): void {
  const first = store.state;
  const note = h("p", { class: "foreign note", role: "status", hidden: true });
  let before = first;
  let isTold = false; // what is told from outside is not told back

  store.on([...TOLD], () => {
    const { state } = store;
    const changed = TOLD.filter((key) => state[key] !== before[key]);
    before = state;
    if (isTold || !changed.length) return;
    const address = inAddress();
    const step = changed.some((key) => STEPS.includes(key));
    page.dispatchEvent(new CustomEvent<Told>("attattr-view", { detail: { state, changed, address, step } }));
  });
  page.addEventListener("attattr-show", (event) => {
    const { detail } = event as CustomEvent<Shown>;
    isTold = true;
    try {
      if (detail.address !== undefined) show(detail.address);
      if (detail.change) store.set(detail.change);
    } finally {
      isTold = false;
    }
    detail.now = { state: store.state, address: inAddress() };
  });
  page.prepend(note);

  function inAddress(): string {
    return String(new URLSearchParams(written(store.state, first, data)));
  }

  function show(address: string): void {
    let view = Object.fromEntries(KEPT.map((key) => [key, first[key]])) as Partial<State>;
    note.hidden = true;
    try {
      const choices = new URLSearchParams(address);
      const of = choices.get("of");
      choices.delete("of");
      if (of !== null && of !== fingerprint(data)) throw new Foreign("The address is that of another result");
      view = readView(choices, first, data);
    } catch (error) {
      if (!(error instanceof Foreign)) throw error;
      note.textContent = `${error.message}: it is ignored.`;
      note.hidden = false;
    }
    store.set(view);
  }
}

/** Keeps the view in the fragment of this document's address: reload, Back and a link give it again. `of` tells results
 * apart. Undone by what is returned. */
export function keepInAddress(page: Element, of: string): () => void {
  let shown = "";
  const show = () => {
    shown = location.hash.slice(1);
    page.dispatchEvent(new CustomEvent<Shown>("attattr-show", { detail: { address: shown } }));
  };
  let later: ReturnType<typeof setTimeout> | undefined;
  page.addEventListener("attattr-view", (event) => {
    const { address, step } = (event as CustomEvent<Told>).detail;
    const next = address && `of=${of}&${address}`;
    if (next === shown) return;
    shown = next;
    clearTimeout(later);
    const place = next ? `#${next}` : location.pathname + location.search;
    if (step) history.pushState(null, "", place);
    else later = setTimeout(() => history.replaceState(null, "", place), 200); // a slider moves often
  });
  addEventListener("popstate", show);
  if (location.hash.length > 1) show();
  return () => {
    clearTimeout(later);
    removeEventListener("popstate", show);
  };
}
