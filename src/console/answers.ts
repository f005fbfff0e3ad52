// The API's answers, as plain JSON.

import { VERSION } from "../core/version.ts";
import { buildGraph } from "./graph.ts";
import type { Graph, GraphEdge, GraphNode, Grouping } from "./graph_model.ts";
import { LONGEST_WINDOW_MS, type TrafficHistory } from "./history.ts";
import { type Layout, layOut, NODE, type Point } from "./layout.ts";
import type { Objects } from "./objects.ts";
import type { Scraper } from "./scraper.ts";
import { applications, type ApplicationView, isSystem, namespaceViews, workloadViews } from "./workloads.ts";

export const NAME = "ambientd console";
/** Said wherever the console says its name. */
export const STANDS_FOR = "in Kiali's place in the embedded cluster";

/** What the answers are made of. */
export interface Sources {
  readonly objects: () => Objects;
  readonly history: TrafficHistory;
  readonly scraper: Pick<Scraper, "states" | "omitted" | "lastRoundMs">;
  readonly now: () => number;
}

export interface Query {
  /** Undefined: all but the system's. */
  readonly namespaces: ReadonlySet<string> | undefined;
  readonly windowMs: number;
  readonly grouping: Grouping;
  readonly idle: boolean;
  readonly waypoints: boolean;
}

export const WINDOW = { shortestMs: 10_000, longestMs: LONGEST_WINDOW_MS, defaultMs: 60_000 };

interface PlacedNode extends GraphNode, Point {}
interface DrawnEdge extends GraphEdge {
  readonly points: readonly Point[];
}

/** What a reader of the graph should know about it. */
export interface Note {
  readonly kind: "info" | "warning";
  readonly text: string;
}

function namespacesOf(objects: Objects, query: Query): ReadonlySet<string> {
  return query.namespaces ??
    new Set(objects.namespaces.map(({ name }) => name).filter((name) => !isSystem(name, objects.rootNamespace)));
}

/** Layouts of graphs that are looked at: from one look to the next only rates change, mostly. */
const layouts = new Map<string, Layout>();
const LAYOUTS_KEPT = 16;

function layoutOf({ nodes, edges }: Graph): Layout {
  const key = [...nodes.map(({ id }) => id), "", ...edges.map(({ id }) => id)].sort().join("\u0000");
  let layout = layouts.get(key);
  if (!layout) {
    layout = layOut({
      nodes: nodes.map(({ id }) => id),
      groups: new Map(
        nodes.map(({ id, kind, namespace, app }) => [id, kind === "workload" ? `${namespace}/${app}` : id]),
      ),
      edges,
    });
    if (layouts.size >= LAYOUTS_KEPT) layouts.delete(layouts.keys().next().value!);
    layouts.set(key, layout);
  }
  return layout;
}

export function graphAnswer(sources: Sources, query: Query) {
  const objects = sources.objects(), now = sources.now();
  const namespaces = namespacesOf(objects, query);
  const seconds = sources.history.coveredSeconds(query.windowMs, now);
  const graph = buildGraph(sources.history.active(query.windowMs, now), objects, { ...query, namespaces, seconds });
  const { width, height, nodes, edges } = layoutOf(graph);
  return {
    at: new Date(now).toISOString(),
    namespaces: [...namespaces].sort(),
    windowSeconds: query.windowMs / 1000,
    coveredSeconds: seconds,
    grouping: query.grouping,
    width,
    height,
    nodeSize: NODE,
    nodes: graph.nodes.map((node): PlacedNode => ({ ...node, ...nodes.get(node.id)! })),
    edges: graph.edges.map((edge): DrawnEdge => ({ ...edge, points: edges.get(edge.id) ?? [] })),
    notes: notes(sources, objects, namespaces, graph, { seconds, windowMs: query.windowMs }),
  };
}

function notes(
  { scraper }: Sources,
  objects: Objects,
  namespaces: ReadonlySet<string>,
  graph: Graph,
  { seconds, windowMs }: { seconds: number; windowMs: number },
): Note[] {
  const found: Note[] = [];
  const warn = (text: string) => found.push({ kind: "warning", text });
  const outside = [...workloadViews(objects).values()].filter(({ namespace }) => namespaces.has(namespace))
    .reduce((sum, { outOfMesh }) => sum + outOfMesh.length, 0);
  const unread = scraper.states.filter(({ ok }) => !ok);
  if (unread.length > 0) {
    warn(`${unread.length} of ${scraper.states.length} proxies cannot be read: ${unread[0].pod}: ${unread[0].error}`);
  }
  if (scraper.states.length === 0 && scraper.lastRoundMs > 0) {
    warn("No proxy of the mesh is running: there is nothing to read traffic from.");
  }
  if (scraper.omitted > 0) warn(`${scraper.omitted} proxies are not read: there are too many.`);
  if (scraper.states.some(({ truncated }) => truncated)) {
    warn("A proxy has more series than are kept: some traffic is missing.");
  }
  if (graph.truncated) warn("There is more than can be drawn: choose fewer namespaces.");
  if (outside > 0) {
    found.push({
      kind: "info",
      text:
        `${outside} ${outside === 1 ? "pod is" : "pods are"} out of mesh. Plain traffic between such pods passes no ` +
        `proxy, so nobody counts it and it cannot be drawn.`,
    });
  }
  if (seconds < windowMs / 1000 - 1) {
    found.push({
      kind: "info",
      text: `The console has watched for ${Math.round(seconds)} s; rates are over that time.`,
    });
  }
  return found;
}

/** What came to an application within the window. */
interface Received {
  requests: number;
  connections: number;
  errors: number;
  denied: number;
  /** Undefined without traffic. */
  mtlsShare: number | undefined;
}

export interface ApplicationAnswer extends ApplicationView {
  readonly received: Received;
  /** What the list says about it, in words. */
  readonly details: readonly string[];
  readonly health: "ok" | "degraded" | "failing" | "denied" | "unready" | "idle";
}

export function applicationsAnswer(
  sources: Sources,
  query: Query,
): { windowSeconds: number; applications: ApplicationAnswer[] } {
  const objects = sources.objects(), now = sources.now();
  const namespaces = namespacesOf(objects, query);
  const seconds = sources.history.coveredSeconds(query.windowMs, now);
  const options = { namespaces, seconds, grouping: "app", idle: true, waypoints: false } as const;
  const { edges } = buildGraph(sources.history.active(query.windowMs, now), objects, options);
  const incoming = new Map<string, GraphEdge[]>();
  for (const edge of edges) {
    const known = incoming.get(edge.target);
    if (known) known.push(edge);
    else incoming.set(edge.target, [edge]);
  }
  return {
    windowSeconds: query.windowMs / 1000,
    applications: applications(objects, namespaces).map((application) => {
      const ids = [
        `app:${application.namespace}/${application.app}`,
        ...application.workloads.map(({ id }) => `workload:${id}`),
      ];
      const received = receivedBy(ids.flatMap((id) => incoming.get(id) ?? []));
      return { ...application, received, details: details(application), health: healthOf(application, received) };
    }),
  };
}

function receivedBy(edges: readonly GraphEdge[]): Received {
  const received: Received = { requests: 0, connections: 0, errors: 0, denied: 0, mtlsShare: undefined };
  let secure = 0, weight = 0;
  for (const { http, tcp, denied, mtlsShare, rate } of edges) {
    received.requests += http?.requests ?? 0;
    received.connections += tcp?.connections ?? 0;
    received.errors += http?.errors ?? tcp?.failures ?? 0;
    received.denied += denied;
    const share = Math.max(rate, 1e-9);
    secure += mtlsShare * share;
    weight += share;
  }
  if (weight > 0) received.mtlsShare = secure / weight;
  return received;
}

/** Kiali's words where it has some: the tutorials look for them. */
function details({ membership, outOfMesh, pods, workloads }: ApplicationView): string[] {
  const found: string[] = [];
  if (membership === "proxy") found.push("mesh proxy");
  else if (membership === "system") found.push("system");
  else if (outOfMesh >= pods) found.push("out of mesh");
  else if (outOfMesh > 0) found.push(`${outOfMesh} of ${pods} pods out of mesh`);
  else found.push(membership === "sidecar" ? "sidecar" : "ambient");
  const waypoint = workloads.map(({ waypoint }) => waypoint).find((one) => one !== undefined);
  if (waypoint !== undefined) found.push(`waypoint ${waypoint}`);
  return found;
}

function healthOf({ pods, ready }: ApplicationView, received: Received): ApplicationAnswer["health"] {
  if (ready < pods) return "unready";
  const total = received.requests > 0 ? received.requests : received.connections;
  if (total === 0 && received.denied === 0) return "idle";
  if (received.denied > total / 2) return "denied";
  if (received.errors > total / 5) return "failing";
  return received.errors > 0 || received.denied > 0 ? "degraded" : "ok";
}

export function namespacesAnswer(sources: Sources) {
  return { namespaces: namespaceViews(sources.objects()) };
}

export function statusAnswer(sources: Sources) {
  const { scraper, history } = sources, objects = sources.objects();
  const component = (name: string, match: (labels: Readonly<Record<string, string>>) => boolean) => {
    const pods = objects.pods.filter(({ namespace, labels, running }) =>
      running && (namespace === objects.rootNamespace || name === "cni") && match(labels)
    );
    return { name, pods: pods.length, ready: pods.filter(({ ready }) => ready).length };
  };
  return {
    name: NAME,
    about: STANDS_FOR,
    version: VERSION,
    at: new Date(sources.now()).toISOString(),
    watchingSince: new Date(history.startedAtMs).toISOString(),
    lastReadAt: scraper.lastRoundMs === 0 ? null : new Date(scraper.lastRoundMs).toISOString(),
    flows: history.flows,
    mesh: [
      component("istiod", ({ app }) => app === "istiod"),
      component("ztunnel", ({ app }) => app === "ztunnel"),
      component("cni", (labels) => labels["k8s-app"] === "istio-cni-node"),
    ],
    proxies: scraper.states,
    omitted: scraper.omitted,
  };
}
