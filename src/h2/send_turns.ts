import type { Transport } from "../net/transport.ts";
import { DEFAULT_WINDOW } from "./constants.ts";
import type { H2Output } from "./output.ts";
import type { H2Stream } from "./stream.ts";

/** Who may send payload: streams share the connection's window and its transport, and those that must wait take turns. */
export class SendTurns {
  /** Bytes of DATA that may still go out on the connection. */
  window: number = DEFAULT_WINDOW;
  readonly #waiting = new Set<H2Stream>();

  constructor(readonly transport: Transport, readonly out: H2Output) {}

  /** Room for payload, see {@linkcode H2Output.prepareData}; 0 means wait for `onRoom()`. */
  prepare(stream: H2Stream, contiguous: boolean): number {
    const window = Math.min(stream.sendWindow, this.window);
    if (window > 0 && this.transport.writable) {
      const room = this.out.prepareData(stream, window, contiguous);
      if (room > 0) return room;
    }
    this.#waiting.add(stream);
    return 0;
  }

  /** `bytes` bytes are where {@linkcode prepare} said. */
  commit(stream: H2Stream, bytes: number): void {
    stream.sendWindow -= bytes;
    this.window -= bytes;
    this.out.commitData(stream, bytes);
  }

  /** The stream's `onRoom()` is called when windows and transport allow. */
  wait(stream: H2Stream): void {
    this.#waiting.add(stream);
    if (stream.headersSent && stream.sendWindow > 0 && this.window > 0 && this.transport.writable) {
      this.out.stage.schedule();
    }
  }

  /** The stream's own window has grown. */
  onStreamWindow(stream: H2Stream): void {
    if (this.#waiting.delete(stream)) stream.onRoom();
  }

  /** The connection's window, or the transport, has room: until it is used up. Who has had none is first next time. */
  resume(): void {
    const waiting = this.#waiting;
    let left = waiting.size;
    for (const stream of waiting) {
      if (left-- === 0 || this.window <= 0 || !this.transport.writable) return;
      waiting.delete(stream);
      if (!stream.open) continue;
      if (stream.headersSent) stream.onRoom();
      else waiting.add(stream);
    }
  }

  /** The batch of events is over: streams with bytes of their own that were queued while they could have gone out (before HEADERS, say). */
  resumeQueued(): void {
    if (this.#waiting.size === 0 || !this.transport.writable) return;
    for (const stream of [...this.#waiting]) {
      if (stream.queued === 0 || !stream.headersSent || stream.sendWindow <= 0 || this.window <= 0) continue;
      this.#waiting.delete(stream);
      stream.onRoom();
    }
  }

  /** The stream is over. */
  forget(stream: H2Stream): void {
    this.#waiting.delete(stream);
  }

  clear(): void {
    this.#waiting.clear();
  }
}
