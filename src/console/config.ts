import { type ConfigOf, setting } from "../core/config.ts";

/** What the console is told by its environment. */
export const CONSOLE_SETTINGS = {
  address: setting("CONSOLE_ADDR", "string", "[::]:20001", "Pages and API"),
  metricsAddress: setting("METRICS_ADDR", "string", "[::]:9090", "/metrics of the console itself"),
  rootNamespace: setting(
    ["ISTIO_NAMESPACE", "ACTIVE_NAMESPACE"],
    "string",
    "istio-system",
    "Where ztunnel and istiod are",
  ),
  scrapeMs: setting("SCRAPE_INTERVAL", "duration", 5_000, "How often the proxies' metrics are read"),
  hosts: setting(
    "CONSOLE_HOSTS",
    "list",
    [],
    "Host names under which browsers may ask for it, beside addresses, localhost and its Service's names; * for any",
  ),
};

export type ConsoleConfig = ConfigOf<typeof CONSOLE_SETTINGS>;
