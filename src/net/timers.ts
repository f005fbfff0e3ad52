/** A callback due at a time; made by {@linkcode Timers.schedule}. Cancelling is O(1), so most timers may never fire. */
export class Timer {
  next: Timer | null = null;
  previous: Timer | null = null;
  slot = -1;

  constructor(readonly owner: Timers, public deadline: number, readonly fire: () => void) {}

  get pending(): boolean {
    return this.slot >= 0;
  }

  cancel(): void {
    this.owner.remove(this);
  }
}

const SLOTS = 512;
const TICK_MS = 16;

/**
 * A hashed timer wheel of 16 ms ticks: connect, handshake and ping timeouts by the thousand, nearly all cancelled. A timer
 * fires up to one tick late and never early.
 */
export class Timers {
  readonly #slots: (Timer | null)[] = new Array(SLOTS).fill(null);
  #tick: number;
  #count = 0;

  /** What a callback throws goes to `onError`, so that the other callbacks still run. */
  constructor(now: number, readonly onError: (thrown: unknown) => void) {
    this.#tick = Math.floor(now / TICK_MS);
  }

  get size(): number {
    return this.#count;
  }

  schedule(deadline: number, fire: () => void): Timer {
    const timer = new Timer(this, deadline, fire);
    this.#insert(timer);
    return timer;
  }

  /** Moves a timer, pending or not, to another deadline. */
  reschedule(timer: Timer, deadline: number): void {
    this.remove(timer);
    timer.deadline = deadline;
    this.#insert(timer);
  }

  #insert(timer: Timer): void {
    // A deadline that has passed goes to the next tick to be looked at.
    const tick = Math.max(Math.ceil(timer.deadline / TICK_MS), this.#tick + 1);
    const slot = tick % SLOTS;
    const head = this.#slots[slot];
    timer.slot = slot;
    timer.previous = null;
    timer.next = head;
    if (head) head.previous = timer;
    this.#slots[slot] = timer;
    this.#count++;
  }

  remove(timer: Timer): void {
    if (timer.slot < 0) return;
    if (timer.previous) timer.previous.next = timer.next;
    else this.#slots[timer.slot] = timer.next;
    if (timer.next) timer.next.previous = timer.previous;
    timer.next = timer.previous = null;
    timer.slot = -1;
    this.#count--;
  }

  /** Fires what is due. Returns whether anything was. */
  advance(now: number): boolean {
    const target = Math.floor(now / TICK_MS);
    if (target <= this.#tick) return false;
    if (this.#count === 0) {
      this.#tick = target;
      return false;
    }
    const first = Math.max(this.#tick + 1, target - SLOTS + 1);
    let due: Timer | null = null;
    for (let tick = first; tick <= target; tick++) {
      for (let timer = this.#slots[tick % SLOTS]; timer;) {
        const next: Timer | null = timer.next;
        if (timer.deadline <= now) {
          this.remove(timer);
          timer.next = due;
          due = timer;
        }
        timer = next;
      }
    }
    this.#tick = target;
    const any = due !== null;
    while (due) {
      const timer: Timer = due;
      due = timer.next;
      timer.next = null;
      try {
        timer.fire();
      } catch (thrown) {
        this.onError(thrown);
      }
    }
    return any;
  }

  /** Milliseconds from `now` to the next deadline, or -1 when there is none. Looks at every timer: for going idle only. */
  untilNext(now: number): number {
    if (this.#count === 0) return -1;
    let earliest = Infinity;
    for (const head of this.#slots) {
      for (let timer = head; timer; timer = timer.next) if (timer.deadline < earliest) earliest = timer.deadline;
    }
    return Math.max(1, Math.ceil(earliest - now) + TICK_MS);
  }
}
