import { KubeApiError } from "./errors.ts";
import type { KubeObject, WatchEvent } from "./types.ts";

export interface WatchStreamOptions {
  /** `onIdle` is called after this much silence, again and again. */
  readonly idleMs: number;
  readonly onIdle: () => void;
  /** The error to throw when the stream breaks. */
  readonly fail: (cause: unknown) => unknown;
}

/** A longer line is no event of a Kubernetes API: objects end at 1.5 MiB there. */
const MAX_LINE = 64 * 1024 * 1024;

/** The events of a watch: JSON objects, one a line, in batches as the network delivers them. */
export async function* readWatch<T extends KubeObject>(
  body: ReadableStream<Uint8Array>,
  { idleMs, onIdle, fail }: WatchStreamOptions,
): AsyncGenerator<WatchEvent<T>[]> {
  const reader = body.getReader(), decoder = new TextDecoder();
  let held = "", idle = setInterval(onIdle, idleMs);
  try {
    for (;;) {
      let chunk: ReadableStreamReadResult<Uint8Array>;
      try {
        chunk = await reader.read();
      } catch (cause) {
        throw fail(cause);
      }
      clearInterval(idle);
      if (chunk.done) return;
      const lines = (held + decoder.decode(chunk.value, { stream: true })).split("\n");
      held = lines.pop()!;
      if (held.length > MAX_LINE) throw fail(new Error("a line of a watch is too long"));
      const events = lines.filter((line) => line.trim() !== "").map((line) => parseEvent<T>(line, fail));
      const failure = events.findIndex((event) => event instanceof Error);
      const good = (failure < 0 ? events : events.slice(0, failure)) as WatchEvent<T>[];
      if (good.length > 0) yield good;
      if (failure >= 0) throw events[failure];
      idle = setInterval(onIdle, idleMs);
    }
  } finally {
    clearInterval(idle);
    await reader.cancel().catch(() => {});
  }
}

function parseEvent<T extends KubeObject>(line: string, fail: (cause: unknown) => unknown): WatchEvent<T> | Error {
  let event: { type: string; object: any };
  try {
    event = JSON.parse(line);
  } catch (cause) {
    return fail(cause) as Error;
  }
  if (event.type !== "ERROR") return event as WatchEvent<T>;
  const status = event.object ?? {};
  return new KubeApiError(status.message ?? "the watch failed", {
    status: status.code ?? 500,
    reason: status.reason ?? "",
  });
}
