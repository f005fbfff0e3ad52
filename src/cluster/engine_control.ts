import { MeshError } from "../core/errors.ts";
import type { Closable } from "./relay.ts";
import { relay } from "./relay.ts";

/** What may be asked of a running engine: one JSON line, answered by one JSON line. */
export type ControlRequest = /** Connects to a Service; after the answer the connection carries the bytes. */
  { readonly op: "dial"; readonly namespace: string; readonly service: string; readonly port: number };

export type ControlAnswer = { readonly ok: true } | { readonly ok: false; readonly message: string };

const LINE_MAX = 4096;

/** Reads one JSON line; what follows it on the connection stays readable. */
async function readLine(conn: Deno.Conn): Promise<unknown> {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  while (bytes.length < LINE_MAX) {
    const n = await conn.read(one);
    if (n === null) throw new MeshError("engine_control", "the connection ended within a request");
    if (one[0] === 0x0a) return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes)));
    bytes.push(one[0]);
  }
  throw new MeshError("engine_control", `a request is longer than ${LINE_MAX} bytes`);
}

async function writeLine(conn: Deno.Conn, value: unknown): Promise<void> {
  const bytes = new TextEncoder().encode(JSON.stringify(value) + "\n");
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** Serves control requests in the engine. `resolve` finds the address of a Service's port, or explains why not. */
export function serveControl(
  path: string,
  resolve: (request: ControlRequest) => { hostname: string; port: number },
): Closable {
  const listener = Deno.listen({ transport: "unix", path });
  const open = new Set<Deno.Conn>();
  const done = (async () => {
    for await (const conn of listener) {
      open.add(conn);
      (async () => {
        try {
          const request = await readLine(conn) as ControlRequest;
          let target: Deno.TcpConn;
          try {
            if (request?.op !== "dial") throw new MeshError("engine_control", "unknown request");
            target = await Deno.connect(resolve(request));
          } catch (error) {
            return await writeLine(conn, { ok: false, message: (error as Error).message });
          }
          target.setNoDelay(true);
          await writeLine(conn, { ok: true });
          await relay(conn, target);
        } catch {
          // The client went away.
        } finally {
          open.delete(conn);
          try {
            conn.close();
          } catch {
            // Closed by the relay.
          }
        }
      })();
    }
  })().catch(() => {});
  return {
    async close() {
      listener.close();
      for (const conn of open) {
        try {
          conn.close();
        } catch {
          // Closed meanwhile.
        }
      }
      await done;
    },
  };
}

/** Asks the engine behind `path` for a connection to a Service. */
export async function dialService(path: string, request: ControlRequest): Promise<Deno.UnixConn> {
  const conn = await Deno.connect({ transport: "unix", path });
  try {
    await writeLine(conn, request);
    const answer = await readLine(conn) as ControlAnswer;
    if (answer.ok) return conn;
    throw new MeshError("engine_control", answer.message, { source: "upstream" });
  } catch (error) {
    conn.close();
    throw error;
  }
}
