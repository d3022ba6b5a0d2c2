// What is asked and shown, as the fragment of the address. A fragment stays in the browser: no server's log has the texts.
import { Foreign, short } from "../address";
import type { Explained, Model } from "./api";
import type { Question } from "./form";

/** One side: its question, the view of its report, what is taken out of it. */
export interface Wanted {
  question: Question;
  view: string;
  out: string[];
}

/** What the browser keeps with an entry of its history: the fragment, however long, and the results. */
export interface Entry {
  fragment: string;
  made: (Explained | null)[];
}

const SECOND = "2."; // before each key of the second side
const OWN = ["model", "text", "target", "out"];

export function fragmentOf(sides: Wanted[]): string {
  const all = sides.flatMap(({ question: { model, texts, target }, view, out }, side) =>
    [
      ["model", model],
      ...texts.map((text) => ["text", text]),
      ...(target === null ? [] : [["target", target]]),
      ...new URLSearchParams(view),
      ...out.map((each) => ["out", each]),
    ].map(([key, value]) => [(side ? SECOND : "") + key, value!]),
  );
  return String(new URLSearchParams(all));
}

/** What a fragment asks for. Throws Foreign where that is nothing that can be asked here. */
export function wantedOf(fragment: string, models: Model[]): Wanted[] {
  const all = [...new URLSearchParams(fragment)];
  const second = all.filter(([key]) => key.startsWith(SECOND)).map(([key, value]) => [key.slice(SECOND.length), value] as const);
  const first = all.filter(([key]) => !key.startsWith(SECOND));
  return [first, second].filter((side, number) => side.length || !number).map((side) => sideOf(side, models));
}

function sideOf(given: (readonly [string, string])[], models: Model[]): Wanted {
  const of = (key: string) => given.flatMap(([name, value]) => (name === key ? value : []));
  const [[name], texts, [target = null]] = [of("model"), of("text"), of("target")];
  if (name === undefined || !texts.some((text) => text.trim()) || texts.length > 2) throw new Foreign("The address names no text to explain here");
  const model = models.find((each) => each.name === name);
  if (!model) throw new Foreign(`The address asks for the model “${short(name)}”, which is not offered here`);
  if (target !== null && !model.labels?.includes(target)) throw new Foreign(`The address asks for the class “${short(target)}”, which ${name} does not have`);
  if (texts.length > 1 && model.pair === false) throw new Foreign(`The address has two texts, and ${name} takes one`);
  const view = given.filter(([key]) => !OWN.includes(key)).map(([key, value]) => [key, value]);
  return { question: { model: name, texts, target }, view: String(new URLSearchParams(view)), out: of("out") };
}

export function sameQuestion(a: Question, b: Question): boolean {
  return JSON.stringify([a.model, a.texts, a.target]) === JSON.stringify([b.model, b.texts, b.target]);
}
