import type { ExchangeObserver } from "../../http/exchange/exchanges.ts";
import type { ProxySelf } from "../../http/exchange/mod.ts";
import type { L7Settings } from "../../model/mod.ts";
import type { MeshView } from "../../proxy/state/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Registry } from "../../telemetry/metrics.ts";
import type { TcpConnectionsOptions } from "./tcp_connections.ts";

export interface ProxyTelemetryOptions {
  readonly registry: Registry;
  readonly mesh: MeshView;
  readonly self: ProxySelf;
  readonly logger: Logger;
}

/** What is told of requests and connections: metrics, access log, spans. */
export class ProxyTelemetry {
  readonly observer: ExchangeObserver | undefined = undefined;
  readonly tcp: Pick<TcpConnectionsOptions, "onOpened" | "onDone"> = { onOpened: () => {}, onDone: () => {} };

  constructor(_options: ProxyTelemetryOptions) {}

  configure(_settings: L7Settings): void {}

  close(): void {}
}
