import type { PodFacts, PodLookup } from "../../identity/node_authorization.ts";
import { BY } from "../../index/mod.ts";
import type { Pod, Store } from "../../kube/mod.ts";

/** The pod cache as the CA's node authorization asks it. The store has the index's indexes. */
export function podLookup(pods: Store<Pod>): PodLookup {
  return {
    pod(namespace, name) {
      const pod = pods.get(`${namespace}/${name}`);
      return pod && facts(pod);
    },
    *podsOfServiceAccount(namespace, serviceAccount) {
      for (const pod of pods.by(BY.serviceAccount, `${namespace}/${serviceAccount}`)) yield facts(pod);
    },
  };
}

function facts({ metadata, spec, status }: Pod): PodFacts {
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? "",
    uid: metadata.uid ?? "",
    serviceAccount: spec.serviceAccountName || "default",
    nodeName: spec.nodeName ?? "",
    phase: status?.phase ?? "",
  };
}
