/**
 * Idle connections that a host keeps for all its clients together, each of which needs its own. So many cover the callers of nearly
 * every service; servers with a worker for each connection seldom have more workers than that (Apache's default is as many).
 */
export const MOST_IDLE = 256;

/** The same over all hosts of a proxy, but for one of each host: at some 8 KiB each, a tenth of what a waypoint may use. */
const MOST_IN_ALL = 8192;

/** Idle connections of all hosts of one proxy. */
export class IdleBudget {
  used = 0;

  constructor(readonly most: number = MOST_IN_ALL) {}
}

/** What is on the list of idle connections. */
export interface IdleLink {
  /** On the list. */
  idle: boolean;
  nextIdle: IdleLink | null;
  previousIdle: IdleLink | null;
  /** Ends it; it leaves the list. */
  endIdle(): void;
}

/**
 * Connections without requests of one host, the one that has been so longest first. One too many ends the first, be it too many for the
 * host or for the proxy.
 */
export class IdleConnections {
  readonly #budget: IdleBudget;
  readonly #most: number;
  #first: IdleLink | null = null;
  #last: IdleLink | null = null;
  #size = 0;

  constructor(budget: IdleBudget, most: number = MOST_IDLE) {
    this.#budget = budget;
    this.#most = most;
  }

  get size(): number {
    return this.#size;
  }

  add(link: IdleLink): void {
    if (link.idle) return;
    link.idle = true;
    link.nextIdle = null;
    link.previousIdle = this.#last;
    if (this.#last === null) this.#first = link;
    else this.#last.nextIdle = link;
    this.#last = link;
    this.#size++;
    const inAll = ++this.#budget.used;
    if (this.#size > this.#most || (inAll > this.#budget.most && this.#size > 1)) this.endOldest();
  }

  remove(link: IdleLink): void {
    if (!link.idle) return;
    link.idle = false;
    const { previousIdle, nextIdle } = link;
    if (previousIdle === null) this.#first = nextIdle;
    else previousIdle.nextIdle = nextIdle;
    if (nextIdle === null) this.#last = previousIdle;
    else nextIdle.previousIdle = previousIdle;
    link.nextIdle = link.previousIdle = null;
    this.#size--;
    this.#budget.used--;
  }

  /** False when there is none. */
  endOldest(): boolean {
    const oldest = this.#first;
    if (oldest === null) return false;
    this.remove(oldest);
    oldest.endIdle();
    return true;
  }
}
