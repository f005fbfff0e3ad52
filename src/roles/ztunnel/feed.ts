import { type AuthorizationPolicy, type SpiffeId, spiffeId, type Workload } from "../../model/mod.ts";
import { type ConnectionManager, type MeshState, workloadIdentity } from "../../proxy/mod.ts";
import type { AddressResource } from "../../xds/workload_codec.ts";
import type { Update } from "../../xds/client/resource_type.ts";
import type { LocalMesh } from "./local_xds.ts";

/** Fetches certificates ahead of the first connection, and drops them. */
export interface CertificatePlan {
  prefetch(id: SpiffeId): void;
  forget(id: SpiffeId): void;
}

/** Takes what xDS (or a file) says into the proxy's state, and acts on what that changes. */
export class StateFeed {
  readonly #state: MeshState;
  readonly #connections: ConnectionManager;
  readonly #plan: CertificatePlan | undefined;
  readonly #node: string;
  /** Identities of the meshed workloads of this node, with those workloads. */
  readonly #wanted = new Map<SpiffeId, Set<string>>();
  readonly #idOf = new Map<string, SpiffeId>();

  /** @param plan undefined when nothing is to be fetched ahead (dedicated mode) */
  constructor(state: MeshState, connections: ConnectionManager, plan: CertificatePlan | undefined, node: string) {
    this.#state = state;
    this.#connections = connections;
    this.#plan = plan;
    this.#node = node;
  }

  addresses(update: Update<AddressResource>): void {
    for (const name of update.removed) {
      this.#state.removeAddress(name);
      this.#release(name);
    }
    for (const { value } of update.added) {
      if (value.kind === "service") this.#state.upsertService(value.service);
      else this.#workload(value.workload);
    }
    this.#state.changed();
  }

  authorizations(update: Update<AuthorizationPolicy>): void {
    for (const name of update.removed) this.#state.policies.remove(name);
    for (const { value } of update.added) this.#state.policies.upsert(value);
    this.#connections.reevaluate();
    this.#state.changed();
  }

  local(mesh: LocalMesh): void {
    for (const one of mesh.workloads) this.#workload(one);
    for (const one of mesh.services) this.#state.upsertService(one);
    for (const one of mesh.policies) this.#state.policies.upsert(one);
    this.#connections.reevaluate();
    this.#state.changed();
  }

  #workload(workload: Workload): void {
    this.#state.upsertWorkload(workload);
    const meshed = workload.tunnelProtocol === "HBONE" || workload.nativeTunnel;
    const here = this.#node !== "" && workload.node === this.#node && meshed;
    const id = here ? spiffeId(workloadIdentity(workload)) : undefined;
    if (this.#idOf.get(workload.uid) === id) return;
    this.#release(workload.uid);
    if (id === undefined || !this.#plan) return;
    this.#idOf.set(workload.uid, id);
    let users = this.#wanted.get(id);
    if (!users) this.#wanted.set(id, users = new Set());
    users.add(workload.uid);
    this.#plan.prefetch(id);
  }

  #release(uid: string): void {
    const id = this.#idOf.get(uid);
    if (id === undefined) return;
    this.#idOf.delete(uid);
    const users = this.#wanted.get(id)!;
    users.delete(uid);
    if (users.size > 0) return;
    this.#wanted.delete(id);
    this.#plan?.forget(id);
  }
}
