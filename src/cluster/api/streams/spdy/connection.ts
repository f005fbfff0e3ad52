import { HeaderError, HeaderReader, HeaderWriter } from "./headers.ts";

// The server's side of SPDY/3.1 as Kubernetes' clients speak it: they open streams, nobody minds the windows.

const SYN_STREAM = 1;
const SYN_REPLY = 2;
const RST_STREAM = 3;
const PING = 6;
const GOAWAY = 7;
const FIN = 0x01;
const FRAME_LIMIT = 1024 * 1024;
const STREAM_LIMIT = 1000;
const DATA_CHUNK = 32 * 1024;

/** One stream of a connection. */
export interface SpdyStream {
  readonly id: number;
  readonly headers: Map<string, string>;
  /** Bytes from the client; ends when it closes its side. */
  readonly readable: ReadableStream<Uint8Array>;
  write(bytes: Uint8Array): Promise<void>;
  /** Closes this side. */
  end(): void;
  reset(): void;
}

/** Where frames go: resolves when the peer can take more. */
export type FrameSink = (bytes: Uint8Array) => Promise<void>;

interface StreamState {
  stream: SpdyStream;
  controller: ReadableStreamDefaultController<Uint8Array>;
  clientDone: boolean;
  serverDone: boolean;
}

/** Parses what the client sends (`feed`), and hands out its streams. */
export class SpdyConnection {
  readonly #sink: FrameSink;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #headers = new HeaderReader();
  readonly #writer = new HeaderWriter();
  readonly #streams = new Map<number, StreamState>();
  #pending: Uint8Array = new Uint8Array(0);
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(sink: FrameSink, onStream: (stream: SpdyStream) => void) {
    this.#sink = sink;
    this.#onStream = onStream;
  }

  /** Takes bytes of the client, in order. Rejects when they are not SPDY: the connection is over then. */
  feed(bytes: Uint8Array): Promise<void> {
    this.#work = this.#work.then(() => this.#feed(bytes));
    return this.#work;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#headers.close();
    for (const state of this.#streams.values()) this.#endReading(state);
    this.#streams.clear();
  }

  async #feed(bytes: Uint8Array): Promise<void> {
    if (this.#closed) return;
    if (this.#pending.length > 0) {
      const joined = new Uint8Array(this.#pending.length + bytes.length);
      joined.set(this.#pending);
      joined.set(bytes, this.#pending.length);
      bytes = joined;
    }
    let at = 0;
    while (bytes.length - at >= 8 && !this.#closed) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + at);
      const length = view.getUint32(4) & 0xffffff;
      if (length > FRAME_LIMIT) throw new HeaderError(`a frame of ${length} bytes is too large`);
      if (bytes.length - at < 8 + length) break;
      const body = bytes.subarray(at + 8, at + 8 + length);
      const flags = view.getUint8(4);
      if (view.getUint8(0) & 0x80) await this.#control(view.getUint16(2), flags, body);
      else this.#data(view.getUint32(0), flags, body);
      at += 8 + length;
    }
    this.#pending = bytes.slice(at);
  }

  async #control(type: number, flags: number, body: Uint8Array): Promise<void> {
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    switch (type) {
      case SYN_STREAM: {
        if (body.length < 10) throw new HeaderError("SYN_STREAM is cut short");
        const headers = await this.#headers.read(body.subarray(10));
        this.#open(view.getUint32(0) & 0x7fffffff, headers, (flags & FIN) !== 0);
        break;
      }
      case RST_STREAM: {
        const state = body.length >= 4 ? this.#streams.get(view.getUint32(0) & 0x7fffffff) : undefined;
        if (state) {
          this.#endReading(state);
          state.serverDone = true;
          this.#streams.delete(state.stream.id);
        }
        break;
      }
      case PING:
        this.#send(PING, 0, body);
        break;
      case GOAWAY:
        // The client leaves when its streams are done; the transport tells.
        break;
    }
  }

  #data(id: number, flags: number, body: Uint8Array): void {
    const state = this.#streams.get(id);
    if (!state || state.clientDone) return;
    if (body.length > 0) state.controller.enqueue(body.slice());
    if (flags & FIN) this.#endReading(state);
    this.#forgetWhenDone(state);
  }

  #open(id: number, headers: Map<string, string>, finished: boolean): void {
    if (this.#streams.has(id) || this.#streams.size >= STREAM_LIMIT) {
      this.#reset(id);
      return;
    }
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    const readable = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
    const state: StreamState = {
      controller,
      clientDone: false,
      serverDone: false,
      stream: undefined as unknown as SpdyStream,
    };
    state.stream = {
      id,
      headers,
      readable,
      write: async (bytes) => {
        for (let at = 0; at < bytes.length && !state.serverDone && !this.#closed; at += DATA_CHUNK) {
          await this.#sink(dataFrame(id, 0, bytes.subarray(at, at + DATA_CHUNK)));
        }
      },
      end: () => {
        if (state.serverDone || this.#closed) return;
        state.serverDone = true;
        void this.#sink(dataFrame(id, FIN, new Uint8Array(0)));
        this.#forgetWhenDone(state);
      },
      reset: () => {
        if (this.#closed || !this.#streams.delete(id)) return;
        state.serverDone = true;
        this.#endReading(state);
        this.#reset(id);
      },
    };
    this.#streams.set(id, state);
    const reply = this.#writer.empty();
    const body = new Uint8Array(4 + reply.length);
    new DataView(body.buffer).setUint32(0, id);
    body.set(reply, 4);
    this.#send(SYN_REPLY, 0, body);
    if (finished) this.#endReading(state);
    this.#onStream(state.stream);
  }

  #reset(id: number): void {
    const body = new Uint8Array(8);
    new DataView(body.buffer).setUint32(0, id);
    body[7] = 5; // CANCEL
    this.#send(RST_STREAM, 0, body);
  }

  #endReading(state: StreamState): void {
    if (state.clientDone) return;
    state.clientDone = true;
    try {
      state.controller.close();
    } catch {
      // The reader went first.
    }
  }

  #forgetWhenDone(state: StreamState): void {
    if (state.clientDone && state.serverDone) this.#streams.delete(state.stream.id);
  }

  #send(type: number, flags: number, body: Uint8Array): void {
    const frame = new Uint8Array(8 + body.length);
    const view = new DataView(frame.buffer);
    view.setUint16(0, 0x8003);
    view.setUint16(2, type);
    view.setUint32(4, body.length);
    view.setUint8(4, flags);
    frame.set(body, 8);
    void this.#sink(frame);
  }
}

function dataFrame(id: number, flags: number, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(8 + body.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, id);
  view.setUint32(4, body.length);
  view.setUint8(4, flags);
  frame.set(body, 8);
  return frame;
}
