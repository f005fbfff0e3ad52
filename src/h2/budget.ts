/**
 * How much useless work a peer may cause: every frame that costs us something and moves nothing (PING, SETTINGS, PRIORITY,
 * an empty DATA, a reset before the answer, …) takes a token; tokens come back with time and with real traffic (one a KiB, so
 * that a peer may credit windows in small steps). This bounds settings, ping, reset and empty-frame floods by one rule.
 */
export class Budget {
  #tokens: number;
  #at: number;

  constructor(readonly burst: number, readonly perSecond: number, now: number) {
    this.#tokens = burst;
    this.#at = now;
  }

  /** Takes `cost` tokens; false when there are too few. */
  spend(cost: number, now: number): boolean {
    if (now > this.#at) {
      this.#tokens = Math.min(this.burst, this.#tokens + (now - this.#at) * this.perSecond / 1000);
      this.#at = now;
    }
    this.#tokens -= cost;
    return this.#tokens >= 0;
  }

  /** Gives tokens back for real traffic. */
  earn(tokens: number): void {
    this.#tokens = Math.min(this.burst, this.#tokens + tokens);
  }
}
