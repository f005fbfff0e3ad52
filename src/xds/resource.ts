import type { Caller } from "../identity/types.ts";

/** One resource as the server sends it. Immutable: a change is a new object. */
export interface XdsResource {
  readonly name: string;
  /** Other names a client may ask for it by. */
  readonly aliases: readonly string[];
  /** Empty: the type carries no versions. */
  readonly version: string;
  /** The serialised message; its type URL is the source's. */
  readonly bytes: Uint8Array;
}

/** Names of resources that came or changed, and of those that went. */
export interface ResourceChange {
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** Who is served. */
export interface XdsClientInfo {
  readonly nodeId: string;
  /** First segment of the node id: `ztunnel`, `waypoint`, … */
  readonly proxyType: string;
  /** `name.namespace` of the pod, the third segment of the node id. */
  readonly podName: string;
  readonly namespace: string;
  /** As the client sent it. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Undefined on the plaintext port. */
  readonly caller?: Caller;
  readonly peerAddress: string;
}

/** What on-demand names resolve to; names that lead to nothing are simply left out. */
export interface Resolved {
  readonly resources: Iterable<XdsResource>;
  /** The names of the request that were found. */
  readonly found: ReadonlySet<string>;
}

/**
 * The resources of one type. The server reads it when a client asks and after it announced changes; both happen in one thread,
 * so a source is always consistent when read.
 */
export interface ResourceSource {
  readonly typeUrl: string;
  /** Whether a client's own versions are believed on reconnect (Address): unchanged resources are then not sent again. */
  readonly versioned: boolean;
  /** Every resource that this client may see. */
  snapshot(client: XdsClientInfo): Iterable<XdsResource>;
  /** One resource by its name; undefined when there is none for this client. */
  get(name: string, client: XdsClientInfo): XdsResource | undefined;
  /** Calls `listener` after each change, until the returned function is called. */
  subscribe(listener: (change: ResourceChange) => void): () => void;
  /** Finds what a client asks for by name, alias or otherwise. Default: {@linkcode get} by name alone. */
  resolve?(names: ReadonlySet<string>, client: XdsClientInfo): Resolved;
  /** Further names whose on-demand subscribers want this resource: those of the services that a workload serves. */
  follows?(resource: XdsResource): Iterable<string>;
  /** Resources sent to an on-demand client unasked, with each answer. */
  volunteer?(client: XdsClientInfo): Iterable<XdsResource>;
  /**
   * True when all clients see the same resources: their pushes are then serialised once. Otherwise each client hears only of what differs
   * for it: a change is announced by name to all, and one whose resource of that name is the same object as before, or none, hears nothing.
   */
  readonly shared: boolean;
  /** A client subscribes to this type for the first time on its stream. */
  opened?(client: XdsClientInfo): void;
  /** The stream of a client that was told of by {@linkcode opened} is over. */
  closed?(client: XdsClientInfo): void;
}
