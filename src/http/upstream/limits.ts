import type { ConnectionLimits } from "../../model/mod.ts";

/** Envoy's "no limit". */
const UNLIMITED = 2 ** 32 - 1;

/** Circuit breakers of one cluster: what is under way, and how much may be. Counted per proxy and destination, as Envoy does. */
export class CircuitBreakers {
  connections = 0;
  pending = 0;
  requests = 0;
  retries = 0;
  maxConnections = UNLIMITED;
  maxPending = UNLIMITED;
  maxRequests = UNLIMITED;
  maxRetries = UNLIMITED;

  constructor(limits: ConnectionLimits) {
    this.configure(limits);
  }

  /** Takes new limits; what is under way beyond them ends by itself. */
  configure(limits: ConnectionLimits): void {
    this.maxConnections = limits.maxConnections ?? UNLIMITED;
    this.maxPending = limits.maxPendingRequests ?? UNLIMITED;
    this.maxRequests = limits.maxRequests ?? UNLIMITED;
    this.maxRetries = limits.maxRetries ?? UNLIMITED;
  }

  /** A pool without any connection may always have one, or a few busy hosts would starve the others. */
  mayConnect(poolConnections: number): boolean {
    return this.connections < this.maxConnections || poolConnections === 0;
  }
}
