import { ByteQueue } from "./byte_queue.ts";
import type { Endpoint } from "./endpoint.ts";

/** What an end has taken and could not send yet. Bytes that its partner pushed are still on the partner's account. */
export class UnsentBytes extends ByteQueue {
  #owed = 0;

  /** The last `bytes` bytes are the partner's: it hears `consumed()` when they are gone. */
  owe(bytes: number): void {
    this.#owed += bytes;
  }

  /** The first `bytes` bytes are gone (and out of the queue). */
  settle(bytes: number, partner: Endpoint | null): void {
    if (this.#owed === 0) return;
    const paid = Math.min(this.#owed, bytes);
    this.#owed -= paid;
    partner?.consumed(paid);
  }
}

/** What has come for an end that nobody was joined with. */
export class EarlyBytes extends ByteQueue {
  /** Pushes what there is to the end's partner, as long as it has one; false when something is left. */
  passOn(end: Endpoint): boolean {
    while (this.size > 0 && end.open && end.partner !== null) {
      const bytes = this.firstLength;
      end.partner.push(this.first, bytes);
      // The end may have been over by then, and this empty.
      this.consume(Math.min(bytes, this.size));
    }
    return this.size === 0;
  }
}
