import type { KubeObject } from "../contracts.ts";
import { CLUSTER_NETWORK } from "../contracts.ts";
import type { ControllerContext } from "./kit/context.ts";
import { keyOf, SERVICES } from "./kit/types.ts";
import { writeStatus } from "./kit/writes.ts";

const COMPONENT = "service-controller";

/**
 * Gives Services of type LoadBalancer an address: the one in `spec.loadBalancerIP`, of the pool or not, else one of the
 * pool that no other Service has. An address is free again as soon as its Service is gone or changes its type; there is
 * nothing outside the cluster to clean up, so no finalizer holds the Service.
 */
export function startLoadBalancers({ api, caches, runner, events }: ControllerContext): void {
  const services = caches.of(SERVICES);
  const queue = runner.register("load-balancer", reconcile);
  const waiting = new Set<string>();

  services.onChange((event, service) => {
    const key = keyOf(service);
    if (event !== "DELETED") queue.add(key);
    else waiting.delete(key);
    const freed = event === "DELETED" || service.spec.type !== "LoadBalancer";
    if (freed) { for (const other of waiting) queue.add(other); }
  });

  function reconcile(key: string): void {
    const service = services.get(key);
    waiting.delete(key);
    if (!service || service.metadata.deletionTimestamp) return;
    // Another implementation is asked for by class.
    if (service.spec.loadBalancerClass) return;
    const current: string | undefined = service.status?.loadBalancer?.ingress?.[0]?.ip;
    if (service.spec.type !== "LoadBalancer") {
      if (current) writeStatus(api, SERVICES, service, { ...service.status, loadBalancer: {} });
      return;
    }
    const address = choose(service, current);
    if (!address) {
      waiting.add(key);
      events.warning(
        service,
        COMPONENT,
        "SyncLoadBalancerFailed",
        `Error syncing load balancer: no address of ${CLUSTER_NETWORK.loadBalancerCidr} is free`,
      );
      return;
    }
    if (address === current) return;
    writeStatus(api, SERVICES, service, {
      ...service.status,
      loadBalancer: { ingress: [{ ip: address, ipMode: "VIP" }] },
    });
    events.normal(service, COMPONENT, "EnsuredLoadBalancer", "Ensured load balancer");
  }

  function choose(service: KubeObject, current: string | undefined): string | undefined {
    if (service.spec.loadBalancerIP) return service.spec.loadBalancerIP;
    const taken = new Set<string>();
    for (const other of services.all()) {
      if (other.metadata.uid === service.metadata.uid || other.spec.type !== "LoadBalancer") continue;
      for (const { ip } of other.status?.loadBalancer?.ingress ?? []) taken.add(ip);
      if (other.spec.loadBalancerIP) taken.add(other.spec.loadBalancerIP);
    }
    if (current && !taken.has(current) && pool.has(current)) return current;
    for (const address of pool) if (!taken.has(address)) return address;
    return undefined;
  }
}

/** The addresses of a pool, its first and last left out as in any network. */
export function poolAddresses(cidr: string): Set<string> {
  const [base, bits] = cidr.split("/");
  const start = base.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(bits));
  const addresses = new Set<string>();
  for (let i = 1; i < size - 1; i++) {
    const value = start + i;
    addresses.add([24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join("."));
  }
  return addresses;
}

const pool = poolAddresses(CLUSTER_NETWORK.loadBalancerCidr);
