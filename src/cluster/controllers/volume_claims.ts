import type { KubeObject } from "../contracts.ts";
import type { ControllerContext } from "./kit/context.ts";
import { keyOf, VOLUME_CLAIMS } from "./kit/types.ts";
import { writeStatus } from "./kit/writes.ts";

/**
 * Marks every PersistentVolumeClaim Bound. There are no PersistentVolumes: a claim stands for a directory of the
 * cluster's data dir that the runtime makes when a pod first mounts it, and its requested size is not enforced.
 */
export function startVolumeClaims({ api, caches, runner }: ControllerContext): void {
  const claims = caches.of(VOLUME_CLAIMS);
  const queue = runner.register("persistentvolumeclaim", (key) => {
    const claim = claims.get(key);
    if (!claim || claim.metadata.deletionTimestamp || claim.status?.phase === "Bound") return;
    writeStatus(api, VOLUME_CLAIMS, claim, bound(claim));
  });
  claims.onChange((event, claim) => {
    if (event !== "DELETED") queue.add(keyOf(claim));
  });
}

function bound(claim: KubeObject): unknown {
  return {
    phase: "Bound",
    accessModes: claim.spec?.accessModes ?? ["ReadWriteOnce"],
    capacity: { storage: claim.spec?.resources?.requests?.storage ?? "1Gi" },
  };
}
