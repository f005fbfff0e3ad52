// May this ztunnel have a certificate for that identity? (ca.md §5, Istio's node authorizer)

import { parseSpiffeId, type SpiffeId } from "../model/identity.ts";
import type { KubernetesCaller } from "./types.ts";

/** What istiod's pod cache knows of a pod. */
export interface PodFacts {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly serviceAccount: string;
  /** Empty while the pod is not scheduled. */
  readonly nodeName: string;
  readonly phase: string;
}

/** Pods of the caller's cluster. */
export interface PodLookup {
  pod(namespace: string, name: string): PodFacts | undefined;
  podsOfServiceAccount(namespace: string, serviceAccount: string): Iterable<PodFacts>;
}

export type NodeAuthorization = { readonly allowed: SpiffeId } | { readonly denied: string };

/**
 * Decides an impersonation. `trusted` holds `namespace/serviceaccount` (`CA_TRUSTED_NODE_ACCOUNTS`). The requested trust
 * domain is not compared, as in Istio.
 */
export function authorizeImpersonation(
  caller: KubernetesCaller | undefined,
  requested: string,
  trusted: ReadonlySet<string>,
  pods: PodLookup | undefined,
): NodeAuthorization {
  const deny = (why: string): NodeAuthorization => ({ denied: why });
  if (!caller) return deny("the caller did not authenticate with a Kubernetes token");
  const account = `${caller.namespace}/${caller.serviceAccount}`;
  if (!trusted.has(account)) return deny(`"${account}" is not a trusted node account`);
  const identity = parseSpiffeId(requested);
  if (!identity) return deny(`"${requested.slice(0, 512)}" is not a SPIFFE identity`);
  if (!pods) return deny(`the pods of cluster "${caller.clusterId}" are not known`);
  if (!caller.podName || !caller.podUid) return deny("the token is not bound to a pod");
  const own = pods.pod(caller.namespace, caller.podName);
  if (!own) return deny(`the caller's pod "${caller.namespace}/${caller.podName}" is not known`);
  if (own.uid !== caller.podUid) return deny(`the caller's pod "${caller.podName}" has another UID now`);
  if (own.serviceAccount !== caller.serviceAccount) {
    return deny(`the caller's pod "${caller.podName}" has another service account`);
  }
  if (own.nodeName === "") return deny(`the caller's pod "${caller.podName}" is not on a node`);
  for (const pod of pods.podsOfServiceAccount(identity.namespace, identity.serviceAccount)) {
    if (pod.phase !== "Failed" && pod.nodeName === own.nodeName) return { allowed: requested as SpiffeId };
  }
  return deny(`no pod of "${identity.namespace}/${identity.serviceAccount}" runs on node "${own.nodeName}"`);
}
