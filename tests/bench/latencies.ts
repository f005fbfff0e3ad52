/** Latencies in microseconds, in buckets of 1 us up to 200 ms. */
export class Latencies {
  readonly #buckets = new Uint32Array(200_000);
  count = 0;
  add(us: number): void {
    this.#buckets[Math.min(199_999, Math.floor(us))]++;
    this.count++;
  }
  clear(): void {
    this.#buckets.fill(0);
    this.count = 0;
  }
  quantile(q: number): number {
    let left = this.count * q;
    for (let i = 0; i < this.#buckets.length; i++) if ((left -= this.#buckets[i]) <= 0) return i;
    return this.#buckets.length;
  }
}
