// Puts requests to a proxy on loopback, and a backend that says what it has seen.

import { bytesOf, type Sent } from "./cases.ts";

/** What came of a request without any policy: what the backend saw (method, target, host), or the status of the refusal; "" for no answer. */
export type Seen = string;

export interface Answer {
  readonly seen: Seen;
  /** For each policy: `A` allowed, `D` denied; "" when the request is refused anyway. */
  readonly decisions: string;
}

/** A backend of HTTP/1.1 that says the first line's method and target, and Host, in `x-seen`; `x-decisions` as it came. */
export class EchoBackend {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #conns = new Set<Deno.Conn>();
  readonly #accepting: Promise<void>;

  constructor() {
    this.#accepting = this.#accept();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #accept(): Promise<void> {
    const running = new Set<Promise<void>>();
    try {
      for await (const conn of this.#listener) {
        this.#conns.add(conn);
        const one: Promise<void> = this.#serve(conn).catch(() => {}).finally(() => running.delete(one));
        running.add(one);
      }
    } catch {
      // Closed.
    }
    await Promise.all(running);
  }

  async #serve(conn: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(65536);
    let text = "";
    for (;;) {
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) {
        const count = await conn.read(buffer);
        if (count === null) return;
        text += latin1(buffer.subarray(0, count));
        continue;
      }
      const lines = text.slice(0, end).split("\r\n"),
        host = lines.find((line) => /^host:/i.test(line))?.slice(5).trim();
      text = text.slice(end + 4);
      const decisions = lines.find((line) => /^x-decisions:/i.test(line))?.slice(12).trim() ?? "";
      const seen = `${lines[0].replace(/ HTTP\/1\.1$/, "")} ${host}`;
      const answer = `HTTP/1.1 200 OK\r\nx-seen: ${seen}\r\nx-decisions: ${decisions}\r\ncontent-length: 0\r\n\r\n`;
      await send(conn, bytes(answer));
    }
  }

  async close(): Promise<void> {
    this.#listener.close();
    for (const conn of this.#conns) {
      try {
        conn.close();
      } catch {
        // It has gone.
      }
    }
    await this.#accepting;
  }
}

export function latin1(buffer: Uint8Array): string {
  let text = "";
  for (const byte of buffer) text += String.fromCharCode(byte);
  return text;
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

async function send(conn: Deno.Conn, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length;) at += await conn.write(data.subarray(at));
}

/** Puts a request on a connection of its own: what was seen of it, and `x-decisions`. */
export async function ask(port: number, sent: Sent, number = 0): Promise<Answer> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  let text = "";
  try {
    await send(conn, bytes(bytesOf(sent, number)));
    const buffer = new Uint8Array(65536);
    // To the end of the answer: Envoy waits a second for clients to close before it does.
    for (let count; !isWhole(text, sent) && (count = await conn.read(buffer)) !== null;) {
      text += latin1(buffer.subarray(0, count));
    }
  } catch {
    // A reset is an end.
  } finally {
    conn.close();
  }
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? "0";
  if (status !== "200") return { seen: status, decisions: "" };
  const header = (name: string) => new RegExp(`\r\n${name}: *([^\r]*)`, "i").exec(text)?.[1] ?? "";
  return { seen: header("x-seen"), decisions: header("x-decisions") };
}

function isWhole(text: string, { method }: Sent): boolean {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0) return false;
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text.slice(0, head))?.[1] ?? 0);
  return method === "HEAD" || text.length >= head + 4 + length;
}

/** Puts all requests, some at a time. */
export async function askAll(port: number, requests: readonly Sent[]): Promise<Answer[]> {
  const answers: Answer[] = new Array(requests.length);
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < requests.length; i = next++) answers[i] = await ask(port, requests[i], i);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return answers;
}
