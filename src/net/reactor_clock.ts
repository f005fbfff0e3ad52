import type { Clock } from "../core/clock.ts";
import type { Reactor } from "./reactor.ts";

/** Real time whose timers are the reactor's: they end with it. */
export function reactorClock(reactor: Reactor): Clock {
  return {
    now: () => Date.now(),
    timer(ms, fire) {
      const timer = reactor.setTimer(ms, fire);
      return () => timer.cancel();
    },
  };
}
