// The types a client can hold, and how their resources reach the mesh's model.

import type { AuthorizationPolicy } from "../../model/policy.ts";
import { decodeAuthorization } from "../authorization_codec.ts";
import { TYPE_URL } from "../types.ts";
import { type AddressResource, decodeAddress } from "../workload_codec.ts";

/** A resource that could not be used, by its xDS name. */
export interface Reject {
  readonly name: string;
  readonly reason: string;
}

/** One response, decoded: apply removals first, then additions (each new or changed). */
export interface Update<T> {
  readonly added: readonly { readonly name: string; readonly value: T }[];
  /** Names only; an Address name is a workload uid or `namespace/hostname`. */
  readonly removed: readonly string[];
}

/** A type to subscribe to. */
export interface ResourceType<T> {
  readonly typeUrl: string;
  /** Nothing at first; names are asked for with `DeltaXdsClient.request`. */
  readonly onDemand?: boolean;
  /** Whether what was received is enough to begin with; without: the first response is. */
  complete?(): boolean;
  /** @throws MeshError `invalid_resource` */
  decode(bytes: Uint8Array): T;
  /** Takes an update in. What it returns is refused to the server (NACK); the rest counts as accepted. */
  onUpdate(update: Update<T>): readonly Reject[] | void;
}

/** Workloads and services. */
export function addressType(
  onUpdate: ResourceType<AddressResource>["onUpdate"],
  options: { onDemand?: boolean } = {},
): ResourceType<AddressResource> {
  return { typeUrl: TYPE_URL.address, onDemand: options.onDemand, decode: decodeAddress, onUpdate };
}

/** Layer 4 policies. */
export function authorizationType(
  onUpdate: ResourceType<AuthorizationPolicy>["onUpdate"],
): ResourceType<AuthorizationPolicy> {
  return { typeUrl: TYPE_URL.authorization, decode: decodeAuthorization, onUpdate };
}
