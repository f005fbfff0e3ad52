import { H2Connection, type H2Handler, type H2Options, HBONE_SERVER_OPTIONS } from "../../src/h2/mod.ts";
import { HpackDecoder, HpackEncoder } from "../../src/h2/hpack.ts";
import { listenTcp, Reactor } from "../../src/net/mod.ts";
import { PlainTransport } from "../../src/net/plain_transport.ts";

/** One frame as it came. */
export interface RawFrame {
  type: number;
  flags: number;
  id: number;
  body: Uint8Array;
}

export function bytesOf(...parts: (number | string | Uint8Array)[]): Uint8Array {
  const out: number[] = [];
  for (const part of parts) {
    if (typeof part === "number") out.push(part);
    else if (typeof part === "string") out.push(...new TextEncoder().encode(part));
    else for (const byte of part) out.push(byte);
  }
  return new Uint8Array(out);
}

export function word(value: number): Uint8Array {
  return new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value]);
}

export function frame(type: number, flags: number, id: number, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const out = new Uint8Array(9 + body.length);
  out.set([body.length >>> 16, body.length >>> 8, body.length, type, flags]);
  out.set(word(id), 5);
  out.set(body, 9);
  return out;
}

export const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
export const SETTINGS = frame(4, 0, 0);

/** A peer that can say anything, and hears every frame. */
export class RawPeer {
  readonly frames: RawFrame[] = [];
  closed = false;
  readonly #conn: Deno.Conn;
  readonly #encoder = new HpackEncoder(0);
  readonly #decoder = new HpackDecoder(4096);
  readonly #reading: Promise<void>;
  #waiting: (() => void)[] = [];

  constructor(conn: Deno.Conn, preface: boolean) {
    this.#conn = conn;
    this.#reading = this.#read(preface ? PREFACE.length : 0);
  }

  async #read(skip: number): Promise<void> {
    let buffer = new Uint8Array(0);
    const chunk = new Uint8Array(65536);
    for (;;) {
      const count = await this.#conn.read(chunk).catch(() => null);
      if (count === null) break;
      buffer = bytesOf(buffer, chunk.subarray(0, count)) as Uint8Array<ArrayBuffer>;
      if (skip > 0 && buffer.length >= skip) {
        buffer = buffer.slice(skip);
        skip = 0;
      }
      while (skip === 0 && buffer.length >= 9) {
        const length = (buffer[0] << 16) | (buffer[1] << 8) | buffer[2];
        if (buffer.length < 9 + length) break;
        const id = ((buffer[5] & 127) << 24) | (buffer[6] << 16) | (buffer[7] << 8) | buffer[8];
        this.frames.push({ type: buffer[3], flags: buffer[4], id, body: buffer.slice(9, 9 + length) });
        buffer = buffer.slice(9 + length);
      }
      for (const wake of this.#waiting.splice(0)) wake();
    }
    this.closed = true;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Writes; a peer that has hung up meanwhile is no failure here. */
  async send(...parts: (string | Uint8Array)[]): Promise<void> {
    const bytes = bytesOf(...parts);
    for (let at = 0; at < bytes.length;) {
      const count = await this.#conn.write(bytes.subarray(at)).catch(() => -1);
      if (count < 0) return;
      at += count;
    }
  }

  block(headers: [string, string][]): Uint8Array {
    const out = new Uint8Array(65536);
    return out.slice(0, this.#encoder.encode(headers, out, 0));
  }

  connect(id: number, flags = 4, extra: [string, string][] = []): Uint8Array {
    return frame(1, flags, id, this.block([[":method", "CONNECT"], [":authority", "10.0.0.1:80"], ...extra]));
  }

  /** Waits for the first frame that fits, and takes it. */
  async expect(test: (frame: RawFrame) => boolean, what: string): Promise<RawFrame> {
    const deadline = performance.now() + 10_000;
    for (;;) {
      const at = this.frames.findIndex(test);
      if (at >= 0) return this.frames.splice(at, 1)[0];
      if (this.closed) {
        throw new Error(
          `the connection ended before ${what}; got ${JSON.stringify(this.frames.map((f) => [f.type, f.id]))}`,
        );
      }
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        timer = setTimeout(resolve, deadline - performance.now());
      });
      clearTimeout(timer);
      if (performance.now() > deadline) {
        throw new Error(`no ${what}; got ${JSON.stringify(this.frames.map((f) => [f.type, f.id]))}`);
      }
    }
  }

  /** Error code of the GOAWAY; the connection must end after it. */
  async goaway(): Promise<number> {
    const { body } = await this.expect((f) => f.type === 7, "GOAWAY");
    return new DataView(body.buffer, body.byteOffset).getUint32(4);
  }

  /** Error code of the RST_STREAM for a stream. */
  async reset(id: number): Promise<number> {
    const { body } = await this.expect((f) => f.type === 3 && f.id === id, `RST_STREAM on ${id}`);
    return new DataView(body.buffer, body.byteOffset).getUint32(0);
  }

  /** The status a stream was answered with. */
  async status(id: number): Promise<string> {
    const { body } = await this.expect((f) => f.type === 1 && f.id === id, `HEADERS on ${id}`);
    let status = "";
    this.#decoder.decode(body, 0, body.length, (name, value) => {
      if (name === ":status") status = value;
    });
    return status;
  }

  /** A PING whose answer shows that the other side still lives. */
  async alive(): Promise<void> {
    await this.send(frame(6, 0, 0, bytesOf("arethere")));
    await this.expect((f) => f.type === 6 && (f.flags & 1) === 1, "the answer to PING");
  }

  async ended(): Promise<void> {
    await this.#reading;
  }

  async close(): Promise<void> {
    try {
      this.#conn.close();
    } catch {
      // Ended already.
    }
    await this.#reading;
  }
}

/** A server connection of ours and a raw client. */
export async function withServer(
  handler: H2Handler,
  run: (peer: RawPeer, connection: H2Connection) => Promise<void>,
  options: Partial<H2Options> = {},
): Promise<void> {
  const reactor = new Reactor();
  reactor.start();
  const accepted = Promise.withResolvers<H2Connection>();
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
    const transport = new PlainTransport(reactor, socket, socket.remote, socket.local);
    accepted.resolve(new H2Connection(reactor, transport, "server", { ...HBONE_SERVER_OPTIONS, ...options }, handler));
    transport.begin();
  });
  const peer = new RawPeer(await Deno.connect({ hostname: "127.0.0.1", port: listener.port }), false);
  try {
    await run(peer, await accepted.promise);
  } finally {
    await peer.close();
    await reactor.stop();
  }
}
