import { type Clock, systemClock } from "../core/clock.ts";
import type { LogFields, Logger, LogLevel } from "./logger.ts";

const WINDOW_MS = 1000;

/** Lines of one kind within the window that runs. */
interface Kind {
  began: number;
  lines: number;
  left: number;
}

/**
 * For lines that peers can cause as often as they like: so many of a kind are logged each second, and then one that says how many were not.
 * Access logs do without: they have a line for each request by contract.
 */
export class LimitedLog {
  readonly #kinds = new Map<string, Kind>();

  constructor(
    private readonly logger: Logger,
    private readonly clock: Clock = systemClock,
    private readonly perSecond = 10,
  ) {}

  /** @param kind what is counted together; of few, never of a peer's making */
  log(level: LogLevel, message: string, fields: LogFields = {}, kind: string = message): void {
    if (!this.logger.enabled(level)) return;
    const now = this.clock.now();
    let counted = this.#kinds.get(kind);
    if (!counted) this.#kinds.set(kind, counted = { began: now, lines: 0, left: 0 });
    if (counted.left === 0 && !(now >= counted.began && now < counted.began + WINDOW_MS)) {
      counted.began = now;
      counted.lines = 0;
    }
    if (counted.lines < this.perSecond) {
      counted.lines++;
      return this.logger.log(level, message, fields);
    }
    if (counted.left++ > 0) return;
    // One timer for a window with too many lines, so that the last of a flood is told, too.
    const over = counted, rest = Math.min(WINDOW_MS, over.began + WINDOW_MS - now);
    this.clock.timer(rest, () => {
      this.logger.log(level, `${message}: more of these were not logged`, { count: over.left });
      over.began = this.clock.now();
      over.lines = over.left = 0;
    });
  }
}
