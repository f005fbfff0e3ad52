import type { ExecPeer } from "./exec.ts";
import { copyTo } from "./port_forward.ts";
import type { SpdyStream } from "./spdy/connection.ts";

/** The protocol that exec speaks over SPDY: the newest one tells the exit code as a `Status`. */
export const SPDY_EXEC_PROTOCOL = "v4.channel.k8s.io";

/**
 * Collects the streams of one exec, `streamtype` by `streamtype`, which the client opens before anything runs.
 *
 * @param expected the types that the client announced by its query, and `error`
 */
export class SpdyExec {
  readonly #expected: ReadonlySet<string>;
  readonly #streams = new Map<string, SpdyStream>();
  readonly #ready: (peer: ExecPeer) => void;
  #left: () => void = () => {};
  #gone = false;

  constructor(expected: Iterable<string>, ready: (peer: ExecPeer) => void) {
    this.#expected = new Set(expected);
    this.#ready = ready;
  }

  accept(stream: SpdyStream): void {
    const type = stream.headers.get("streamtype") ?? "";
    if (!this.#expected.has(type) || this.#streams.has(type)) return stream.reset();
    this.#streams.set(type, stream);
    if (this.#streams.size === this.#expected.size) this.#ready(this.#peer());
  }

  /** The connection is over. */
  close(): void {
    this.#gone = true;
    this.#left();
  }

  #peer(): ExecPeer {
    const streams = this.#streams;
    return {
      onInput: (take) => void read(streams.get("stdin"), take).then(() => take(null)),
      onResize: (take) => void read(streams.get("resize"), take),
      onLeave: (left) => {
        this.#left = left;
        if (this.#gone) left();
      },
      send: (output, bytes) => streams.get(output)?.write(bytes) ?? Promise.resolve(),
      finish: async (status) => {
        streams.get("stdout")?.end();
        streams.get("stderr")?.end();
        const error = streams.get("error")!;
        await error.write(new TextEncoder().encode(JSON.stringify(status)));
        error.end();
        streams.get("stdin")?.reset();
        streams.get("resize")?.reset();
      },
    };
  }
}

async function read(stream: SpdyStream | undefined, take: (bytes: Uint8Array) => void): Promise<void> {
  if (stream) await copyTo(stream.readable, take).catch(() => {});
}
