// What one client has asked for of one type, and what it is owed. Requests and pushes only add to the debt; a response is built
// from the sources' state at the moment it can be sent, so a slow client costs names, never queued messages.

import type { DeltaDiscoveryRequest } from "../../gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { ResourceSource, XdsClientInfo, XdsResource } from "../resource.ts";
import { WILDCARD } from "../types.ts";

/** Names that one client may hold subscriptions for. */
export const MAX_SUBSCRIBED_NAMES = 100_000;

/** What a request did, for the log and the counters. */
export type RequestOutcome = "answer" | "ack" | "nack" | "stale" | "too_many_names";

export class Subscription {
  wildcard = false;
  /** Names asked for one by one, as the client wrote them. */
  readonly names = new Set<string>();
  /**
   * What this client was last sent, by name. On-demand clients hear of changes to it, and are not told twice what they did not ask for;
   * where each client has resources of its own, it tells what differs.
   */
  readonly #delivered = new Map<string, XdsResource>();

  nonceSent = "";
  nonceAcked = "";
  nonceNacked = "";
  nackMessage = "";
  sentAt = 0;
  sentBytes = 0;
  sentResources = 0;
  /** When the earliest change that is owed came; undefined when nothing is owed but answers. */
  owedSince: number | undefined;

  #first = true;
  /** Owed: everything. */
  #all = false;
  /** Owed: an answer, even an empty one; set by requests, which go before pushes. */
  #answer = false;
  readonly #asked = new Set<string>();
  readonly #changed = new Set<string>();
  readonly #removed = new Set<string>();
  /** What the client held when it connected: name to version. */
  #retained: Readonly<Record<string, string>> | undefined;

  constructor(readonly source: ResourceSource, readonly client: XdsClientInfo) {}

  /** Whether a response is owed. */
  get owed(): boolean {
    return this.#answer || this.#all || this.#asked.size + this.#changed.size + this.#removed.size > 0;
  }

  /** Whether the client itself waits for it. */
  get urgent(): boolean {
    return this.#answer;
  }

  /** How many names are watched one by one, for the debug pages. */
  get watched(): number {
    return this.names.size;
  }

  /** Takes a request in (workload-xds.md §6). */
  request(request: DeltaDiscoveryRequest): RequestOutcome {
    const { responseNonce, errorDetail } = request;
    if (!this.#first && responseNonce !== "" && responseNonce !== this.nonceSent) return "stale";
    if (errorDetail && !this.#first) {
      this.nonceNacked = responseNonce;
      this.nackMessage = errorDetail.message;
      return "nack";
    }
    if (!this.#first && responseNonce !== "") this.nonceAcked = responseNonce;
    const added = request.resourceNamesSubscribe, dropped = request.resourceNamesUnsubscribe;
    const retained = Object.keys(request.initialResourceVersions);
    if (this.names.size + added.length + retained.length > MAX_SUBSCRIBED_NAMES && !this.wildcard && added.length > 0) {
      return "too_many_names";
    }
    return this.#first ? this.#begin(request, retained) : this.#continue(added, dropped);
  }

  #begin(request: DeltaDiscoveryRequest, retained: readonly string[]): RequestOutcome {
    this.#first = false;
    const asked = new Set(request.resourceNamesSubscribe);
    // Subscribing to "*" and unsubscribing from it in one request means "nothing yet": the on-demand client's beginning.
    this.wildcard = (asked.size === 0 || asked.has(WILDCARD)) && !request.resourceNamesUnsubscribe.includes(WILDCARD);
    asked.delete(WILDCARD);
    for (const name of request.resourceNamesUnsubscribe) asked.delete(name);
    if (retained.length > 0) this.#retained = request.initialResourceVersions;
    if (this.wildcard) this.#all = true;
    else for (const name of retained) asked.add(name);
    this.#ask(asked);
    return "answer";
  }

  #continue(added: readonly string[], dropped: readonly string[]): RequestOutcome {
    for (const name of dropped) {
      if (name === WILDCARD) this.wildcard = false;
      this.names.delete(name);
      this.#delivered.delete(name);
      this.#asked.delete(name);
    }
    const asked = new Set(added);
    if (asked.delete(WILDCARD)) this.wildcard = this.#all = true;
    else if (asked.size === 0) return "ack";
    this.#ask(asked);
    return "answer";
  }

  #ask(asked: Iterable<string>): void {
    this.#answer = true;
    for (const name of asked) {
      this.names.add(name);
      this.#asked.add(name);
    }
  }

  /** Takes a change of the source in; returns whether the client cares. */
  push(changed: Iterable<string>, removed: Iterable<string>): boolean {
    const before = this.#changed.size + this.#removed.size;
    const volunteered = this.wildcard ? undefined : new Set(this.source.volunteer?.(this.client));
    const own = !this.source.shared;
    for (const name of changed) {
      if (own && this.source.get(name, this.client) === this.#delivered.get(name)) continue;
      if (!this.wildcard && !this.#wants(name, volunteered!)) continue;
      this.#changed.add(name);
      this.#removed.delete(name);
    }
    for (const name of removed) {
      if ((own || !this.wildcard) && !this.#delivered.has(name) && !this.names.has(name)) continue;
      this.#removed.add(name);
      this.#changed.delete(name);
    }
    return this.#changed.size + this.#removed.size > before;
  }

  #wants(name: string, volunteered: ReadonlySet<XdsResource>): boolean {
    if (this.#delivered.has(name) || this.names.has(name)) return true;
    const resource = this.source.get(name, this.client);
    if (!resource) return false;
    if (volunteered.has(resource) || resource.aliases.some((alias) => this.names.has(alias))) return true;
    for (const followed of this.source.follows?.(resource) ?? []) {
      if (this.#delivered.has(followed) || this.names.has(followed)) return true;
    }
    return false;
  }

  /** Settles the debt: what to send now. */
  take(): { resources: Set<XdsResource>; removed: Set<string> } {
    const resources = new Set<XdsResource>(), removed = new Set(this.#removed);
    const retained = this.#retained ?? {}, tracked = !this.wildcard || !this.source.shared;
    const add = (resource: XdsResource) => {
      removed.delete(resource.name);
      const known = Object.hasOwn(retained, resource.name) ? retained[resource.name] : undefined;
      if (!this.source.versioned || known === undefined || known === "" || known !== resource.version) {
        resources.add(resource);
      }
      if (tracked) this.#delivered.set(resource.name, resource);
    };
    if (this.#all) this.#takeAll(add, retained, removed);
    else {for (const name of this.#changed) {
        const resource = this.source.get(name, this.client);
        if (resource) add(resource);
        else if (this.source.shared || this.#delivered.has(name)) removed.add(name);
      }}
    if (this.#asked.size > 0) this.#takeAsked(add, removed);
    if (this.#answer && !this.wildcard) {
      for (const resource of this.source.volunteer?.(this.client) ?? []) {
        if (this.#delivered.get(resource.name) !== resource) add(resource);
      }
    }
    for (const name of removed) this.#delivered.delete(name);
    this.#all = this.#answer = false;
    this.#retained = undefined;
    for (const debt of [this.#asked, this.#changed, this.#removed]) debt.clear();
    return { resources, removed };
  }

  #takeAll(
    add: (resource: XdsResource) => void,
    retained: Readonly<Record<string, string>>,
    removed: Set<string>,
  ): void {
    const gone = new Set(Object.keys(retained));
    for (const resource of this.source.snapshot(this.client)) {
      gone.delete(resource.name);
      add(resource);
    }
    for (const name of gone) removed.add(name);
  }

  #takeAsked(add: (resource: XdsResource) => void, removed: Set<string>): void {
    if (this.source.resolve) {
      const { resources, found } = this.source.resolve(this.#asked, this.client);
      for (const resource of resources) add(resource);
      for (const name of this.#asked) if (!found.has(name)) removed.add(name);
      return;
    }
    for (const name of this.#asked) {
      const resource = this.source.get(name, this.client);
      if (resource) add(resource);
      else removed.add(name);
    }
  }

  /** Notes that a response went out. */
  sent(nonce: string, resources: number, bytes: number, now: number): void {
    this.nonceSent = nonce;
    this.sentAt = now;
    this.sentBytes = bytes;
    this.sentResources = resources;
  }

  /** Istio's word for the state (`ctl proxy-status`). */
  get status(): "SYNCED" | "NOT_SENT" | "STALE" | "ERROR" {
    if (this.nonceSent === "") return "NOT_SENT";
    if (this.nonceNacked === this.nonceSent) return "ERROR";
    return this.nonceAcked === this.nonceSent ? "SYNCED" : "STALE";
  }
}
