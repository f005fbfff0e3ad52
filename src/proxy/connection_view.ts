import { hostPort } from "../core/ip.ts";
import type { ConnectionFacts } from "./telemetry.ts";

/** A connection as config_dump shows it, addresses as `ip:port`. */
export interface ConnectionView {
  readonly src: string;
  /** What the application asked for: the address it dialled; inbound, the service's host name where it is known. */
  readonly originalDst?: string;
  readonly actualDst: string;
  readonly protocol: "HBONE" | "TCP";
}

/** What a pod's connections look like from outside. */
export interface ConnectionViews {
  readonly inbound: ConnectionView[];
  readonly outbound: ConnectionView[];
}

export function connectionView(facts: ConnectionFacts, actualDst: string, originalDst?: string): ConnectionView {
  return {
    src: hostPort(facts.source.address, facts.source.port),
    originalDst,
    actualDst,
    protocol: facts.hboneTarget === undefined ? "TCP" : "HBONE",
  };
}
