import type { Reactor } from "../net/reactor.ts";
import type { Timer } from "../net/timers.ts";
import type { H2Options } from "./options.ts";

/** The connection that is kept alive. */
export interface KeepAliveOwner {
  sendPing(): void;
  /** A PING has had no answer for too long. */
  onPingTimeout(): void;
}

/** Sends a PING after every quiet time, and waits for its answer. */
export class KeepAlive {
  readonly #timer: Timer | null;
  #waits = false;

  constructor(readonly reactor: Reactor, readonly options: H2Options, readonly owner: KeepAliveOwner) {
    const { pingIntervalMs } = options;
    this.#timer = pingIntervalMs > 0 ? reactor.setTimer(pingIntervalMs, () => this.#onTimer()) : null;
  }

  #onTimer(): void {
    if (this.#waits) return this.owner.onPingTimeout();
    this.#waits = true;
    this.owner.sendPing();
    this.reactor.resetTimer(this.#timer!, this.options.pingTimeoutMs);
  }

  /** A PING was answered. */
  onAnswer(): void {
    if (!this.#waits) return;
    this.#waits = false;
    this.reactor.resetTimer(this.#timer!, this.options.pingIntervalMs);
  }

  stop(): void {
    this.#timer?.cancel();
  }
}
