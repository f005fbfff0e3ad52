// Flows and workloads -> the graph of who talks to whom.

import type { ActiveFlow } from "./history.ts";
import { EdgeSum } from "./edge_sum.ts";
import type { Flow, Peer } from "./flow.ts";
import type { Graph, GraphEdge, GraphNode, Grouping } from "./graph_model.ts";
import type { Objects } from "./objects.ts";
import { type Membership, type PolicyRef, type WorkloadView, workloadViews } from "./workloads.ts";

export interface GraphOptions {
  /** What to show; with whom these talk is shown too. */
  readonly namespaces: ReadonlySet<string>;
  readonly grouping: Grouping;
  /** Workloads without traffic too. */
  readonly idle: boolean;
  /** Waypoints as nodes of their own, not as a mark on what passes them. */
  readonly waypoints: boolean;
  /** The time that the counts are of. */
  readonly seconds: number;
}

/** More cannot be read, let alone drawn. */
export const MAX_NODES = 400, MAX_EDGES = 2_000;

const OUTSIDE_SOURCE = "outside:source", OUTSIDE_TARGET = "outside:target";

/** A node while the graph is put together. */
interface Draft {
  node: GraphNode;
  busy: boolean;
}

class Builder {
  readonly #options: GraphOptions;
  readonly #workloads: ReadonlyMap<string, WorkloadView>;
  /** Nodes of the workloads behind each Service. */
  readonly #behind = new Map<string, Set<string>>();
  /** What ztunnel says of refusals: policies by the workload that refused (its node) and the caller's identity. */
  readonly #refusals: { node: string; principal: string; policy: PolicyRef }[] = [];
  readonly #policies: Objects["policies"];
  readonly #drafts = new Map<string, Draft>();
  readonly #edges = new Map<string, { source: string; target: string; sum: EdgeSum }>();

  constructor(objects: Objects, options: GraphOptions) {
    this.#options = options;
    this.#policies = objects.policies;
    this.#workloads = workloadViews(objects);
    for (const view of this.#workloads.values()) {
      const id = this.#workloadNode(view);
      for (const service of view.services) {
        const key = `${view.namespace}/${service}`;
        const nodes = this.#behind.get(key);
        if (nodes) nodes.add(id);
        else this.#behind.set(key, new Set([id]));
      }
    }
  }

  /** The node of a workload that runs; made or joined. */
  #workloadNode(view: WorkloadView): string {
    const { namespace, name, app, version, proxy } = view, { grouping } = this.#options;
    const id = nodeId(grouping, namespace, name, app, version, proxy !== undefined);
    const known = this.#drafts.get(id)?.node;
    const node: GraphNode = {
      id,
      kind: proxy ?? "workload",
      namespace,
      name: grouping === "workload" || proxy !== undefined ? name : app,
      app,
      version: grouping === "versioned-app" && proxy === undefined ? version : "",
      workloads: [...known?.workloads ?? [], name],
      services: [...new Set([...known?.services ?? [], ...view.services])],
      serviceAccount: view.serviceAccount,
      membership: join(known?.membership, view.membership),
      pods: (known?.pods ?? 0) + view.pods,
      ready: (known?.ready ?? 0) + view.ready,
      outOfMesh: (known?.outOfMesh ?? 0) + view.outOfMesh.length,
      waypoint: known?.waypoint ?? view.waypoint,
      policies: joinPolicies(known?.policies ?? [], view.policies),
      idle: true,
      neighbour: !this.#options.namespaces.has(namespace),
    };
    this.#drafts.set(id, { node, busy: false });
    return id;
  }

  /** The node of one end of a flow. */
  #peerNode(peer: Peer, outside: string): string {
    if (peer.workload === "" && peer.app === "") return this.#plainNode(outside, "outside", "", "outside");
    const { namespace } = peer, workload = peer.workload || peer.app, app = peer.app || workload;
    const view = this.#workloads.get(`${namespace}/${workload}`);
    const id = nodeId(
      this.#options.grouping,
      namespace,
      workload,
      view?.app ?? app,
      view?.version ?? (peer.version || "latest"),
      view?.proxy !== undefined,
    );
    if (this.#drafts.has(id)) return id;
    // It talked within the window and runs no more.
    const { grouping } = this.#options;
    this.#drafts.set(id, {
      busy: false,
      node: {
        ...BARE,
        id,
        kind: "workload",
        namespace,
        name: grouping === "workload" ? workload : app,
        app,
        version: grouping === "versioned-app" ? peer.version || "latest" : "",
        workloads: [workload],
        neighbour: !this.#options.namespaces.has(namespace),
      },
    });
    return id;
  }

  #plainNode(id: string, kind: "service" | "outside", namespace: string, name: string): string {
    if (!this.#drafts.has(id)) {
      const neighbour = kind === "service" && !this.#options.namespaces.has(namespace);
      this.#drafts.set(id, { busy: false, node: { ...BARE, id, kind, namespace, name, neighbour } });
    }
    return id;
  }

  /** Where a flow went that came to no workload: to what is behind the Service, if that is one node, else to the Service itself. */
  #serviceNode({ service }: Flow): string | undefined {
    if (service.name === "") return undefined;
    const key = `${service.namespace}/${service.name}`;
    const behind = this.#behind.get(key);
    if (behind?.size === 1) return [...behind][0];
    return this.#plainNode(`service:${key}`, "service", service.namespace, service.name);
  }

  #isWaypoint(peer: Peer): boolean {
    return this.#workloads.get(`${peer.namespace}/${peer.workload}`)?.proxy === "waypoint";
  }

  /** ztunnel's account of who refused whom: no traffic of its own, but a name for what was refused. */
  #addRefusal({ policy: id, source, destination }: Flow): void {
    const cut = id.indexOf("/"), namespace = id.slice(0, cut), name = id.slice(cut + 1);
    const known = this.#policies.find((one) => one.name === name && one.namespace === namespace);
    const policy: PolicyRef = { namespace, name, action: known?.action ?? "", at: "workload" };
    const node = this.#peerNode(destination, OUTSIDE_TARGET);
    if (this.#refusals.length < MAX_EDGES) this.#refusals.push({ node, principal: source.principal, policy });
  }

  add(active: ActiveFlow): void {
    const { flow, waypoint } = active;
    if (flow.policy !== "") return this.#addRefusal(flow);
    const source = this.#peerNode(flow.source, OUTSIDE_SOURCE);
    if (flow.protocol === "tcp") return this.#addTcp(active, source);
    const target = flow.destination.workload === "" && flow.destination.app === ""
      ? this.#serviceNode(flow)
      : this.#peerNode(flow.destination, OUTSIDE_TARGET);
    // Answered by the proxy itself, for want of a route: nobody was called.
    if (target === undefined) return;
    if (waypoint === "" || !this.#options.waypoints) return this.#edge(source, target).add(active);
    const [namespace, workload] = waypoint.split("/");
    const middle = this.#peerNode({ namespace, workload, app: workload, version: "", principal: "" }, OUTSIDE_TARGET);
    this.#edge(source, middle).add(active);
    if (flow.destination.workload !== "") this.#edge(middle, target).add(active);
  }

  /** Connections to and from a waypoint are the requests that it reports; only those that went wrong are told apart. */
  #addTcp(active: ActiveFlow, source: string): void {
    const { flow } = active, { waypoints } = this.#options;
    const wrong = flow.flags !== "";
    if (!waypoints && this.#isWaypoint(flow.destination)) {
      const target = wrong ? this.#serviceNode(flow) : undefined;
      if (target !== undefined) this.#edge(source, target).add(active);
      return;
    }
    if (!waypoints && !wrong && this.#isWaypoint(flow.source)) return;
    const known = flow.destination.workload !== "" || flow.destination.app !== "";
    const target = known ? this.#peerNode(flow.destination, OUTSIDE_TARGET) : this.#serviceNode(flow);
    this.#edge(source, target ?? this.#peerNode(flow.destination, OUTSIDE_TARGET)).add(active);
  }

  #edge(source: string, target: string): EdgeSum {
    const id = `${source} -> ${target}`;
    let edge = this.#edges.get(id);
    if (!edge) this.#edges.set(id, edge = { source, target, sum: new EdgeSum() });
    return edge.sum;
  }

  build(): Graph {
    const { namespaces, idle, seconds, waypoints } = this.#options;
    const edges: GraphEdge[] = [];
    const inside = (id: string) => {
      const { node } = this.#drafts.get(id)!;
      return namespaces.has(node.namespace);
    };
    for (const [id, { source, target, sum }] of this.#edges) {
      if (!inside(source) && !inside(target)) continue;
      const refusers = (principals: readonly string[]) => {
        const by = this.#refusals.filter(({ node, principal }) =>
          node === target && (principals.length === 0 ? principal === "" : principals.includes(principal))
        );
        return joinPolicies([], by.map(({ policy }) => policy));
      };
      const { policies } = this.#drafts.get(target)!.node;
      const edge = sum.edge({ id, source, target, seconds, policies, refusers });
      if (edge === undefined) continue;
      edges.push(edge);
      this.#drafts.get(source)!.busy = this.#drafts.get(target)!.busy = true;
    }
    edges.sort((a, b) => b.rate - a.rate || (a.id < b.id ? -1 : 1));
    const shown = withShares(edges.slice(0, MAX_EDGES), (id) => this.#drafts.get(id)!.node);
    const nodes = [...this.#drafts.values()].filter(({ node, busy }) =>
      busy || (idle && namespaces.has(node.namespace) && node.pods > 0 && (waypoints || node.kind !== "waypoint"))
    ).map(({ node, busy }) => ({ ...node, idle: !busy }));
    nodes.sort((a, b) => Number(a.idle) - Number(b.idle) || (a.id < b.id ? -1 : 1));
    // Of too many, those with the most traffic between them.
    const kept = new Set<string>();
    for (const { source, target } of shown) {
      if (kept.size + 2 > MAX_NODES) break;
      kept.add(source).add(target);
    }
    for (const { id } of nodes) if (kept.size < MAX_NODES) kept.add(id);
    return {
      nodes: nodes.filter(({ id }) => kept.has(id)),
      edges: shown.filter(({ source, target }) => kept.has(source) && kept.has(target)),
      truncated: nodes.length > MAX_NODES || edges.length > MAX_EDGES,
    };
  }
}

/** How each source's traffic to one application is divided among its versions: what a weighted route has done. */
function withShares(edges: readonly GraphEdge[], nodeOf: (id: string) => GraphNode): GraphEdge[] {
  const totals = new Map<string, { rate: number; edges: number }>();
  const keyOf = ({ source, target }: GraphEdge) => {
    const { kind, namespace, app } = nodeOf(target);
    return kind === "workload" ? `${source} ${namespace}/${app}` : "";
  };
  for (const edge of edges) {
    const key = keyOf(edge), total = totals.get(key) ?? { rate: 0, edges: 0 };
    totals.set(key, { rate: total.rate + edge.rate, edges: total.edges + 1 });
  }
  return edges.map((edge) => {
    const key = keyOf(edge), total = totals.get(key)!;
    return key !== "" && total.edges > 1 && total.rate > 0 ? { ...edge, share: edge.rate / total.rate } : edge;
  });
}

const BARE: GraphNode = {
  id: "",
  kind: "outside",
  namespace: "",
  name: "",
  app: "",
  version: "",
  workloads: [],
  services: [],
  serviceAccount: "",
  membership: "unknown",
  pods: 0,
  ready: 0,
  outOfMesh: 0,
  waypoint: undefined,
  policies: [],
  idle: true,
  neighbour: false,
};

function nodeId(
  grouping: Grouping,
  namespace: string,
  workload: string,
  app: string,
  version: string,
  proxy: boolean,
): string {
  if (grouping === "workload" || proxy) return `workload:${namespace}/${workload}`;
  return grouping === "app" ? `app:${namespace}/${app}` : `app:${namespace}/${app}/${version}`;
}

function join(known: Membership | "unknown" | undefined, next: Membership): Membership | "unknown" {
  return known === undefined || known === next ? next : "part";
}

function joinPolicies(known: readonly PolicyRef[], next: readonly PolicyRef[]): PolicyRef[] {
  const all = new Map([...known, ...next].map((policy) => [`${policy.namespace}/${policy.name}`, policy]));
  return [...all.values()];
}

/** Who talked to whom, of what was counted in one window. */
export function buildGraph(flows: readonly ActiveFlow[], objects: Objects, options: GraphOptions): Graph {
  const builder = new Builder(objects, options);
  for (const flow of flows) builder.add(flow);
  return builder.build();
}
