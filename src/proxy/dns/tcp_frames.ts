/** Longest message over TCP: the length has two bytes. */
const MAX_BYTES = 65_535;

/** Takes DNS messages out of a TCP stream, each behind its length (RFC 1035 §4.2.2). */
export class TcpFrames {
  #pending = new Uint8Array(0);
  readonly #onMessage: (message: Uint8Array) => void;

  constructor(onMessage: (message: Uint8Array) => void) {
    this.#onMessage = onMessage;
  }

  /** @returns false when the peer sends what cannot be a message: close the connection */
  take(bytes: Uint8Array): boolean {
    const all = new Uint8Array(this.#pending.length + bytes.length);
    all.set(this.#pending);
    all.set(bytes, this.#pending.length);
    let at = 0;
    while (all.length - at >= 2) {
      const length = all[at] << 8 | all[at + 1];
      if (length < 12) return false;
      if (all.length - at - 2 < length) break;
      this.#onMessage(all.slice(at + 2, at + 2 + length));
      at += 2 + length;
    }
    this.#pending = all.slice(at);
    return this.#pending.length <= MAX_BYTES + 2;
  }

  static frame(message: Uint8Array): Uint8Array {
    const framed = new Uint8Array(message.length + 2);
    framed.set([message.length >> 8, message.length & 255]);
    framed.set(message, 2);
    return framed;
  }
}
