import { DEFAULT_WINDOW } from "./constants.ts";
import type { H2Output } from "./output.ts";

/**
 * What the peer may send on the whole connection. It is credited on receipt, so that one slow stream does not stop the others, for as long
 * as what we hold altogether stays within the window.
 */
export class ReceiveWindow {
  #left: number;
  #uncredited = 0;
  #held = 0;

  constructor(readonly size: number, readonly out: H2Output) {
    this.#left = Math.max(size, DEFAULT_WINDOW);
  }

  /** Says how large the window is, where that is not what everybody begins with. */
  announce(): void {
    if (this.size > DEFAULT_WINDOW) this.out.windowUpdate(0, this.size - DEFAULT_WINDOW);
  }

  /** Bytes received that nobody has taken yet. */
  get held(): number {
    return this.#held;
  }

  /** A DATA frame of `length` bytes, padding included; false when that is more than the peer was allowed. */
  take(length: number): boolean {
    if (length > this.#left) return false;
    this.#left -= length;
    this.#uncredited += length;
    return true;
  }

  /** Some stream has received bytes. */
  hold(bytes: number): void {
    this.#held += bytes;
  }

  /** Some stream has passed them on. */
  release(bytes: number): void {
    this.#held -= bytes;
    this.credit();
  }

  credit(): void {
    if (this.#uncredited < this.size >> 2 || this.#held > this.size) return;
    const bytes = this.#uncredited;
    this.#uncredited = 0;
    this.#left += bytes;
    this.out.windowUpdate(0, bytes);
  }
}
