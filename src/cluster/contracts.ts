// What the parts of the embedded cluster know of each other: the API server serves and stores objects, controllers and
// the pod runtime act on them through `ClusterApi`, and the API server reaches running pods through `PodBackend`.

/** Any Kubernetes object as JSON. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  spec?: any;
  status?: any;
  [field: string]: any;
}

export interface ObjectMeta {
  name: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
  managedFields?: unknown[];
  [field: string]: any;
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

/** A resource type by group ("" for core) and plural, e.g. `{ group: "apps", resource: "deployments" }`. */
export interface GroupResource {
  readonly group: string;
  readonly resource: string;
}

export interface ListFilter {
  namespace?: string;
  /** Selector text as in `?labelSelector=`. */
  labelSelector?: string;
  /** Selector text as in `?fieldSelector=`. */
  fieldSelector?: string;
}

export type WatchEventType = "ADDED" | "MODIFIED" | "DELETED";

export type PatchType = "json" | "merge" | "strategic" | "apply";

export interface DeleteOptions {
  propagationPolicy?: "Foreground" | "Background" | "Orphan";
  gracePeriodSeconds?: number;
  preconditions?: { uid?: string; resourceVersion?: string };
}

export interface WriteOptions {
  subresource?: string;
  fieldManager?: string;
  force?: boolean;
  dryRun?: boolean;
}

/**
 * The API as the cluster's own parts use it, in process and synchronous (SQLite is). It has the semantics of the HTTP
 * API: admission, defaulting, resourceVersion conflicts, finalizers. Failures are `ApiError`s holding a Kubernetes
 * `Status`. Objects handed out are frozen snapshots or copies: never change them in place; `structuredClone` first.
 */
export interface ClusterApi {
  get(type: GroupResource, namespace: string | undefined, name: string): KubeObject | undefined;
  list(type: GroupResource, filter?: ListFilter): KubeObject[];
  create(type: GroupResource, object: KubeObject, options?: WriteOptions): KubeObject;
  update(type: GroupResource, object: KubeObject, options?: WriteOptions): KubeObject;
  patch(
    type: GroupResource,
    namespace: string | undefined,
    name: string,
    patchType: PatchType,
    patch: unknown,
    options?: WriteOptions,
  ): KubeObject;
  delete(type: GroupResource, namespace: string | undefined, name: string, options?: DeleteOptions): void;
  /**
   * Calls `handler` at once with ADDED for every existing object that passes the filter, then for every change, in
   * order, on a later microtask of the write. Works for types that are not served yet (a CRD to come): it starts when
   * they are. Returns the function that ends it.
   */
  watch(
    type: GroupResource,
    handler: (event: WatchEventType, object: KubeObject, previous?: KubeObject) => void,
    filter?: ListFilter,
  ): () => void;
}

/** Issues service-account tokens (JWT) as TokenRequest does; used by the pod runtime for projected volumes. */
export interface TokenIssuer {
  issue(request: {
    namespace: string;
    serviceAccount: string;
    audiences: string[];
    expirationSeconds: number;
    pod?: { name: string; uid: string };
    node?: { name: string; uid: string };
  }): Promise<{ token: string; expirationTimestamp: string }>;
}

export interface LogOptions {
  follow?: boolean;
  previous?: boolean;
  tailLines?: number;
  sinceSeconds?: number;
  sinceTime?: string;
  timestamps?: boolean;
  limitBytes?: number;
}

/** A process started in a container by `kubectl exec`, or attached to. Streams are bytes. */
export interface ExecSession {
  readonly stdin?: WritableStream<Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr?: ReadableStream<Uint8Array>;
  resize(columns: number, rows: number): void;
  /** Exit code of the command. */
  readonly exit: Promise<number>;
  kill(): void;
}

/** A TCP connection made inside a pod's network namespace. */
export interface PodConnection {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  close(): void;
}

/** What the processes of a pod use, by container. */
export interface PodUsage {
  readonly namespace: string;
  readonly pod: string;
  readonly node: string;
  /** When it was measured, in milliseconds since the epoch, and over what time. */
  readonly atMs: number;
  readonly windowMs: number;
  readonly containers: readonly {
    readonly name: string;
    readonly cpuNanocores: number;
    /** CPU time since the container was first measured. */
    readonly cpuSeconds: number;
    readonly memoryBytes: number;
  }[];
}

/** How the API server reaches running pods; the pod runtime implements it. Failures are `ApiError`s. */
export interface PodBackend {
  logs(namespace: string, pod: string, container: string, options: LogOptions): ReadableStream<Uint8Array>;
  exec(
    namespace: string,
    pod: string,
    container: string,
    command: string[],
    options: { stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean },
  ): Promise<ExecSession>;
  /** Joins the container's own process; leaving ends the session, not the container. */
  attach(
    namespace: string,
    pod: string,
    container: string,
    options: { stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean },
  ): Promise<ExecSession>;
  dial(namespace: string, pod: string, port: number): Promise<PodConnection>;
  /** The last measurement of every running pod. */
  usage(): readonly PodUsage[];
}

/** The fixed addresses of a cluster; every cluster has its own network namespaces, so all clusters may use the same. */
export const CLUSTER_NETWORK = Object.freeze({
  clusterDomain: "cluster.local",
  serviceCidr: "10.96.0.0/16",
  /** ClusterIP of Service default/kubernetes. */
  apiServiceIp: "10.96.0.1",
  /** ClusterIP of Service kube-system/kube-dns. */
  dnsServiceIp: "10.96.0.10",
  /** Node N (from 0) has 10.244.N.0/24; its own address in it is .1. */
  podCidr: "10.244.0.0/16",
  /** The fabric that joins the nodes; the engine itself is .1, node N is .(2 + N). */
  fabricCidr: "172.18.0.0/16",
  fabricIp: "172.18.0.1",
  /** Addresses of Services of type LoadBalancer. */
  loadBalancerCidr: "172.18.200.0/24",
  /** Port of the API server on the fabric address. */
  apiPort: 6443,
  /** Port of every node's kubelet, at the node's address; node N's lies at the fabric address and this port plus N. */
  kubeletPort: 10250,
});
