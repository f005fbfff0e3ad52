/** Time, passed in so that tests can move it by hand. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Calls `fire` once after `ms`, unless the returned function is called before. Pending timers never hold the process open. */
  timer(ms: number, fire: () => void): () => void;
}

/** The longest wait that setTimeout takes: 2^31 - 1 ms, some 24.8 days. */
const LONGEST_MS = 2 ** 31 - 1;

/** Real time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  timer(ms, fire) {
    let left = Math.max(0, ms), handle = 0;
    const arm = () => {
      const step = Math.min(left, LONGEST_MS);
      left -= step;
      handle = setTimeout(() => left > 0 ? arm() : fire(), step) as unknown as number;
      Deno.unrefTimer(handle);
    };
    arm();
    return () => clearTimeout(handle);
  },
};
