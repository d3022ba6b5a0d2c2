// What is asked and shown, as the fragment of the address. A fragment stays in the browser: no server's log has the texts.
import { Foreign, short } from "../address";
import type { Explained, Model } from "./api";
import { MOST, type Ask } from "./ask";
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
const OWN = ["model", "text", "target", "out", "turn", "source", "tokens", "reply"];

export function fragmentOf(sides: Wanted[]): string {
  const all = sides.flatMap(({ question: { model, texts, target, ask }, view, out }, side) =>
    [
      ["model", model],
      ...texts.map((text) => ["text", text]),
      ...(ask ? askedIn(ask) : []),
      ...(target === null ? [] : [["target", target]]),
      ...new URLSearchParams(view),
      ...out.map((each) => ["out", each]),
    ].map(([key, value]) => [(side ? SECOND : "") + key, value!]),
  );
  return String(new URLSearchParams(all));
}

/** A turn and a source: who, or its name, on a line of its own. */
function askedIn({ turns, sources, most, reply }: Ask): [string, string][] {
  return [
    ...turns.map(([role, said]): [string, string] => ["turn", `${role}\n${said}`]),
    ...sources.map(([name, text]): [string, string] => ["source", `${name}\n${text}`]),
    ...(most === MOST ? [] : [["tokens", String(most)] as [string, string]]),
    ...(reply ? [["reply", reply] as [string, string]] : []),
  ];
}

function parted(text: string): [string, string] {
  const at = text.indexOf("\n");
  return at < 0 ? ["", text] : [text.slice(0, at), text.slice(at + 1)];
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
  const turns = of("turn").map(parted);
  const most = of("tokens")[0];
  if (most !== undefined && !/^[1-9]\d{0,2}$/.test(most)) throw new Foreign("The tokens of the address are not a number from 1 to 512");
  const ask: Ask | null = turns.length ? { turns, sources: of("source").map(parted), most: Math.min(512, Number(most ?? MOST)), reply: of("reply")[0] ?? "" } : null;
  if (name === undefined || (!ask && !texts.some((text) => text.trim())) || texts.length > 2) throw new Foreign("The address names no text to explain here");
  const model = models.find((each) => each.name === name);
  if (!model) throw new Foreign(`The address asks for the model “${short(name)}”, which is not offered here`);
  if (target !== null && !model.labels?.includes(target)) throw new Foreign(`The address asks for the class “${short(target)}”, which ${name} does not have`);
  if (texts.length > 1 && model.pair === false) throw new Foreign(`The address has two texts, and ${name} takes one`);
  const view = given.filter(([key]) => !OWN.includes(key)).map(([key, value]) => [key, value]);
  if (ask && model.writes === false) throw new Foreign(`The address asks for a reply, and ${name} writes none`);
  return { question: { model: name, texts, target, ask }, view: String(new URLSearchParams(view)), out: of("out") };
}

export function sameQuestion(a: Question, b: Question): boolean {
  return JSON.stringify([a.model, a.texts, a.target, a.ask]) === JSON.stringify([b.model, b.texts, b.target, b.ask]);
}
