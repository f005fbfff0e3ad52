import { ApiError } from "../../api_error.ts";
import type { PodBackend, PodConnection } from "../../contracts.ts";
import type { SpdyStream } from "./spdy/connection.ts";

/** A pod, and how to reach it. */
export interface ForwardTarget {
  backend: PodBackend;
  namespace: string;
  pod: string;
}

/** What a failed connection tells the user who forwards. */
export function describeDialFailure({ namespace, pod }: ForwardTarget, port: number, error: unknown): string {
  const why = error instanceof Error ? error.message : String(error);
  return `error forwarding port ${port} to pod ${namespace}/${pod}: ${why}`;
}

/** A port as it stands in a header or a query. @throws {ApiError} 400 */
export function parsePort(text: string | undefined | null): number {
  const port = Number(text);
  if (!text || !/^\d{1,5}$/.test(text) || port < 1 || port > 65535) {
    throw ApiError.badRequest(`unable to parse ${JSON.stringify(text ?? "")} as a port`);
  }
  return port;
}

/** Joins the streams of `portforward.k8s.io`: an error and a data stream for each connection, paired by request id. */
export class SpdyPortForward {
  readonly #target: ForwardTarget;
  readonly #waiting = new Map<string, { error?: SpdyStream; data?: SpdyStream }>();
  readonly #connections = new Set<PodConnection>();

  constructor(target: ForwardTarget) {
    this.#target = target;
  }

  accept(stream: SpdyStream): void {
    const kind = stream.headers.get("streamtype");
    const id = stream.headers.get("requestid") ?? `${stream.headers.get("port")}`;
    if (kind !== "error" && kind !== "data") return stream.reset();
    const pair = this.#waiting.get(id) ?? {};
    this.#waiting.set(id, pair);
    pair[kind] = stream;
    if (!pair.error || !pair.data) return;
    this.#waiting.delete(id);
    void this.#forward(pair.data, pair.error);
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
    this.#connections.clear();
  }

  async #forward(data: SpdyStream, error: SpdyStream): Promise<void> {
    let connection: PodConnection;
    let port = 0;
    try {
      port = parsePort(data.headers.get("port"));
      connection = await this.#target.backend.dial(this.#target.namespace, this.#target.pod, port);
    } catch (failure) {
      await error.write(new TextEncoder().encode(describeDialFailure(this.#target, port, failure)));
      error.end();
      data.reset();
      return;
    }
    this.#connections.add(connection);
    const inward = data.readable.pipeTo(connection.writable).catch(() => {});
    const outward = copyTo(connection.readable, (bytes) => data.write(bytes)).then(
      () => data.end(),
      () => data.reset(),
    );
    // Like kubelet's: when the pod is done the connection is, even if the client would write on.
    await Promise.race([outward, Promise.all([inward, outward])]);
    error.end();
    this.#connections.delete(connection);
    connection.close();
    await inward;
  }
}

/** Reads a stream to its end. */
export async function copyTo(
  readable: ReadableStream<Uint8Array>,
  write: (bytes: Uint8Array) => Promise<void> | void,
): Promise<void> {
  for await (const chunk of readable) await write(chunk);
}
