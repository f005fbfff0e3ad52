import type { Program } from "./program.ts";

/** The programs that stand in for sample images, by name; each is loaded when it is started. */
export const PROGRAMS: Record<string, () => Promise<Program>> = {
  productpage: async () => (await import("./bookinfo/productpage.ts")).productpage,
  details: async () => (await import("./bookinfo/details.ts")).details,
  reviews: async () => (await import("./bookinfo/reviews.ts")).reviews,
  ratings: async () => (await import("./bookinfo/ratings.ts")).ratings,
  httpbin: async () => (await import("./httpbin.ts")).httpbin,
  echo: async () => (await import("./echo.ts")).echo,
  "http-echo": async () => (await import("./echo.ts")).httpEcho,
  "tcp-echo": async () => (await import("./echo.ts")).tcpEcho,
  fortio: async () => (await import("./fortio/fortio.ts")).fortio,
  static: async () => (await import("./echo.ts")).staticSite,
  "echo-basic": async () => (await import("./conformance/echo_basic.ts")).echoBasic,
  "echo-advanced": async () => (await import("./conformance/echo_advanced.ts")).echoAdvanced,
  "echo-client": async () => (await import("./conformance/echo_client.ts")).echoClient,
  "config-reloader": async () => (await import("./config_reloader.ts")).configReloader,
  prometheus: async () => (await import("./prometheus/prometheus.ts")).prometheus,
  wiretap: async () => {
    const { runWiretap } = await import("./wiretap.ts");
    return ({ args, signal }) => runWiretap([...args], signal);
  },
};
