/** Services of the embedded cluster: their addresses (nftables in every node) and their names (DNS). */
import type { Logger } from "../../telemetry/logger.ts";
import { CLUSTER_NETWORK, type ClusterApi } from "../contracts.ts";
import { serveDns } from "./dns_server.ts";
import { ClusterNames } from "./names.ts";
import { BUILT_IN, kubeletEntry, ServiceProxy } from "./proxy.ts";

export interface ServiceNetworkOptions {
  api: ClusterApi;
  /** Nodes whose network namespaces get the rules. */
  nodes: { name: string; index: number; pid: number; addresses: { gateway: string; fabricIp: string } }[];
  log: Logger;
}

/**
 * Starts the service proxy of every node and of the fabric, and the cluster's DNS on the fabric address.
 *
 * @throws MeshError when the first rules or the DNS socket cannot be set up
 */
export async function startServiceNetwork(
  { api, nodes, log }: ServiceNetworkOptions,
): Promise<{ stop(): Promise<void> }> {
  const proxy = new ServiceProxy(
    api,
    [
      // The engine reaches Services too: for publishing, and for the API server's webhooks.
      { name: "fabric", gateway: CLUSTER_NETWORK.fabricIp },
      ...nodes.map(({ name, pid, addresses }) => ({ name, pid, gateway: addresses.gateway })),
    ],
    [...BUILT_IN, ...nodes.map(({ index, addresses }) => kubeletEntry(index, addresses.fabricIp))],
    log,
  );
  await proxy.start();
  const names = new ClusterNames(api);
  const dns = await serveDns(names, CLUSTER_NETWORK.fabricIp, 53);
  return {
    async stop() {
      await proxy.stop();
      names.stop();
      await dns.close();
    },
  };
}
