import { describeError } from "../../core/errors.ts";
import type { Workload } from "../../model/mod.ts";
import { listenTcp, type Tap, tap, type TcpListener, type TcpSocket } from "../../net/mod.ts";
import type { Metric, Registry } from "../../telemetry/metrics.ts";
import type { Pod } from "../pod.ts";
import { answer, failure, parseQuery, type Question, RCODE } from "./message.ts";
import { type Resolution, resolveName } from "./resolve.ts";
import { TcpFrames } from "./tcp_frames.ts";
import { UdpSocket } from "./udp.ts";
import { Upstream } from "./upstream.ts";

/** Where DNS is redirected to in a pod. */
export const DNS_PORT = 15053;
const TCP_IDLE_MS = 5_000;
/** Connections of one pod at once; more are closed. */
const MAX_TCP = 100;

const LABELS = [
  "request_query_type",
  "request_protocol",
  "source_workload",
  "source_canonical_service",
  "source_canonical_revision",
  "source_workload_namespace",
  "source_app",
  "source_version",
  "source_cluster",
];

/** Counters of all pods' DNS. */
export class DnsMetrics {
  readonly requests: Metric;
  readonly upstreamRequests: Metric;
  readonly upstreamFailures: Metric;
  readonly upstreamSeconds;

  constructor(registry: Registry) {
    const counter = (name: string, help: string) => registry.counter(name, help, LABELS);
    this.requests = counter("istio_dns_requests_total", "Total number of DNS requests (unstable)");
    this.upstreamRequests = counter(
      "istio_dns_upstream_requests_total",
      "Total number of forwarded DNS requests (unstable)",
    );
    this.upstreamFailures = counter(
      "istio_dns_upstream_failures_total",
      "Total number of failed forwarded DNS requests (unstable)",
    );
    this.upstreamSeconds = registry.histogram(
      "istio_dns_upstream_request_duration_seconds",
      "How long forwarded DNS requests took (unstable)",
      [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      LABELS,
    );
  }
}

export interface DnsOptions {
  readonly metrics: DnsMetrics;
  readonly clusterDomain: string;
  readonly preferredNamespace: string;
  /** Name servers for what the mesh does not know. */
  readonly servers: () => readonly string[];
}

/** Answers one pod's DNS on its loopback: names of the mesh from its state, everything else by asking on. */
export class DnsProxy {
  readonly #pod: Pod;
  readonly #options: DnsOptions;
  readonly #upstream: Upstream;
  readonly #udp: UdpSocket[] = [];
  readonly #tcp: TcpListener[] = [];
  readonly #connections = new Set<TcpSocket>();

  /** @throws MeshError `system` when IPv4 loopback cannot be listened on */
  constructor(pod: Pod, options: DnsOptions) {
    this.#pod = pod;
    this.#options = options;
    this.#upstream = new Upstream(pod, options.servers);
    try {
      this.#listen("127.0.0.1");
    } catch (thrown) {
      this.close();
      throw thrown;
    }
    if (!pod.shared.config.ipv6) return;
    try {
      this.#listen("::1");
    } catch (thrown) {
      // IPv6 is switched off on this pod's loopback; nothing will be redirected there either.
      pod.shared.logger.debug("DNS without IPv6", { error: describeError(thrown) });
    }
  }

  close(): void {
    for (const socket of this.#udp) socket.close();
    for (const listener of this.#tcp) listener.close();
    for (const socket of [...this.#connections]) socket.abort();
    this.#upstream.close();
  }

  #listen(address: string): void {
    const { reactor, config } = this.#pod.shared;
    const common = {
      netns: this.#pod.netns,
      mark: this.#pod.mark,
      address,
      port: DNS_PORT,
      reusePort: config.portReuse,
    };
    const socket: UdpSocket = new UdpSocket(reactor, common, (bytes, from) => {
      void this.#answer(bytes, "udp").then((reply) => {
        if (reply) socket.send(reply, from);
      });
    });
    this.#udp.push(socket);
    this.#tcp.push(listenTcp(reactor, { ...common, v6Only: true }, (accepted) => this.#serve(accepted)));
  }

  #serve(socket: TcpSocket): void {
    if (this.#connections.size >= MAX_TCP) return socket.abort();
    this.#connections.add(socket);
    const { reactor } = this.#pod.shared;
    const over = () => {
      idle.cancel();
      this.#connections.delete(socket);
      socket.close();
    };
    const idle = reactor.setTimer(TCP_IDLE_MS, over);
    const frames = new TcpFrames((message) => {
      reactor.resetTimer(idle, TCP_IDLE_MS);
      void this.#answer(message, "tcp").then((reply) => {
        if (reply && socket.open) side.write(TcpFrames.frame(reply));
      });
    });
    const side: Tap = tap(socket, {
      onData: (bytes) => frames.take(bytes) || over(),
      onEnd: over,
      onAbort: over,
    });
  }

  /** Never rejects: whatever fails inside is SERVFAIL outside. */
  async #answer(bytes: Uint8Array, transport: "udp" | "tcp"): Promise<Uint8Array | undefined> {
    const parsed = parseQuery(bytes);
    if (parsed.kind === "refuse") return parsed.answer;
    const { question } = parsed;
    try {
      const client = this.#pod.local.current() ?? await this.#pod.local.wait();
      const labels = labelsOf(question, transport, client);
      this.#options.metrics.requests.with(...labels).inc();
      const found = this.#resolve(question, client);
      if (found.kind === "forward") return await this.#forward(bytes, question, transport, labels);
      const limit = transport === "udp" ? question.udpBytes : 65_535;
      return answer(question, found.alias, shuffled(found.addresses, this.#pod.shared.random), limit);
    } catch (thrown) {
      this.#pod.shared.logger.debug("cannot answer DNS", { name: question.name, error: describeError(thrown) });
      return failure(question, RCODE.SERVFAIL);
    }
  }

  #resolve(question: Question, client: Workload): Resolution {
    if (question.type !== "A" && question.type !== "AAAA") return { kind: "forward" };
    const { state, config } = this.#pod.shared;
    const { clusterDomain, preferredNamespace } = this.#options;
    return resolveName(state, client, question.name.replace(/\.$/, ""), question.type === "A" ? 4 : 6, {
      clusterDomain,
      network: config.network,
      ipv6: config.ipv6,
      preferredNamespace: preferredNamespace || undefined,
    });
  }

  async #forward(
    bytes: Uint8Array,
    question: Question,
    transport: "udp" | "tcp",
    labels: readonly string[],
  ): Promise<Uint8Array> {
    const { metrics } = this.#options;
    metrics.upstreamRequests.with(...labels).inc();
    const start = performance.now();
    const reply = await this.#upstream.ask(bytes, transport);
    metrics.upstreamSeconds.with(...labels).observe((performance.now() - start) / 1000);
    if (reply) return reply;
    metrics.upstreamFailures.with(...labels).inc();
    return failure(question, RCODE.SERVFAIL);
  }
}

function labelsOf(question: Question, transport: string, client: Workload): string[] {
  // A type is a client's word: unknown ones would make as many series as they like.
  const type = ["A", "AAAA", "SRV", "TXT", "CNAME", "PTR", "MX", "NS", "SOA"].includes(question.type)
    ? question.type
    : "other";
  return [
    type,
    transport,
    client.workloadName || "unknown",
    client.canonicalName || "unknown",
    client.canonicalRevision || "unknown",
    client.namespace,
    client.canonicalName || "unknown",
    client.canonicalRevision || "unknown",
    client.clusterId,
  ];
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}
