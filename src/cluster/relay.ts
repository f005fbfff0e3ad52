/** Something that can be stopped and waited for. */
export interface Closable {
  close(): Promise<void>;
}

type Stream = { readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array>; close(): void };

/** Copies both ways, passing each half-close on, until both directions have ended. */
export async function relay(a: Stream, b: Stream): Promise<void> {
  await Promise.allSettled([a.readable.pipeTo(b.writable), b.readable.pipeTo(a.writable)]);
  for (const side of [a, b]) {
    try {
      side.close();
    } catch {
      // Closed by the pipe.
    }
  }
}

/**
 * Accepts TCP connections on a loopback port and relays each to what `dial` makes for it. `port` 0 takes a free one.
 * The cluster lives in network namespaces of its own; Unix sockets, which `dial` uses, reach across.
 *
 * @throws Deno.errors.AddrInUse
 */
export function listenAndRelay(
  hostname: string,
  port: number,
  dial: () => Promise<Stream>,
  onError: (error: unknown) => void,
): Closable & { port: number } {
  const listener = Deno.listen({ hostname, port });
  const open = new Set<Deno.TcpConn>();
  const done = (async () => {
    for await (const client of listener) {
      open.add(client);
      (async () => {
        try {
          await relay(client, await dial());
        } catch (error) {
          onError(error);
        } finally {
          open.delete(client);
          try {
            client.close();
          } catch {
            // Closed by the relay.
          }
        }
      })();
    }
  })().catch(() => {});
  return {
    port: (listener.addr as Deno.NetAddr).port,
    async close() {
      listener.close();
      for (const client of open) {
        try {
          client.close();
        } catch {
          // Closed meanwhile.
        }
      }
      await done;
    },
  };
}
