// The server's API (docs/server.md): answers that take work are streams of JSON lines.

import type { Ask } from "./ask";

export interface Model {
  name: string;
  task: string | null;
  labels: string[] | null;
  pair: boolean | null; // null: unknown
  writes: boolean | null; // replies; null: unknown
}

export interface Working {
  state: "alive" | "waiting" | "working";
  ahead?: number;
  what?: string;
  done?: number;
  total?: number;
}

export interface Explained {
  id: string;
  label: string;
  probability: number | null; // of a reply none
  notes: string[];
}

/** An edge by positions; `head` is null for all heads. */
export interface Edge {
  site: number;
  head: number | null;
  query: number[];
  key: number[];
}

export interface Change {
  output: string;
  label: string;
  clean: number;
  without: number;
  probabilities: [label: string, clean: number, without: number][] | null;
}

export async function models(): Promise<Model[]> {
  const answer = await fetch("/api/models");
  if (!answer.ok) throw new Error(await sentence(answer));
  return (await answer.json()).models;
}

export function explain(
  question: { model: string; texts: string[]; target: string | null },
  tell: (news: Working) => void,
  signal: AbortSignal,
): Promise<Explained> {
  return stream("/api/explain", question, tell, signal);
}

export function without(
  question: { id: string; edges: Edge[]; heads: [number, number][] },
  tell: (news: Working) => void,
  signal: AbortSignal,
): Promise<Change> {
  return stream("/api/without", question, tell, signal);
}

export interface Instead {
  sources: string[];
  spans: { text: string; clean: number; without: number }[];
  reply: string;
  stopped: string;
}

export function generate({ turns, sources, most, reply }: Ask, model: string, tell: (news: Working) => void, signal: AbortSignal): Promise<Explained> {
  if (new Set(sources.map(([name]) => name)).size < sources.length) return Promise.reject(new Error("two of the sources have one name: give each its own"));
  const plain = turns.length === 1 && turns[0]![0] === "";
  const question = {
    model,
    prompt: plain ? turns[0]![1] : null,
    messages: plain ? null : turns.map(([role, content]) => ({ role, content })),
    sources: sources.length ? Object.fromEntries(sources) : null,
    max_new_tokens: most,
    reply: reply || null,
  };
  return stream("/api/generate", question, tell, signal);
}

export function withoutSources(question: { id: string; sources: string[] }, tell: (news: Working) => void, signal: AbortSignal): Promise<Instead> {
  return stream("/api/without-sources", question, tell, signal);
}

/** Whether the server has a result still. */
export async function held(id: string): Promise<boolean> {
  try {
    return (await fetch(`/results/${encodeURIComponent(id)}`, { method: "HEAD" })).ok;
  } catch {
    return false; // what comes next says so
  }
}

/** The last line of an answer; the ones before it are told. Aborting the signal ends the work too. */
async function stream<T>(path: string, question: object, tell: (news: Working) => void, signal: AbortSignal): Promise<T> {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(question),
    signal,
  });
  if (!answer.ok) throw new Error(await sentence(answer));
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the server has gone: is it still running?");
    const lines = (rest + value).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const news = JSON.parse(line);
      if (news.state === "done") return news;
      if (news.state === "failed") throw new Error(news.error);
      if (news.state === "cancelled") throw new DOMException("cancelled", "AbortError");
      tell(news);
    }
  }
}

async function sentence(answer: Response): Promise<string> {
  try {
    return (await answer.json()).error ?? answer.statusText;
  } catch {
    return answer.statusText;
  }
}

export function aborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** An error as a sentence; a server that does not answer shows as a TypeError. */
export function said(error: unknown): string {
  if (error instanceof TypeError) return "The server does not answer: is it still running?";
  const text = error instanceof Error ? error.message : String(error);
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
