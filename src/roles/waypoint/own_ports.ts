import { formatIp, inCidr, parseCidr, parseIp } from "../../core/ip.ts";

/** Addresses that lead back to this machine, whichever address it has; the unspecified ones do on Linux. */
const LOCAL = [["127.0.0.0", 8], ["0.0.0.0", 8], ["::1", 128], ["::", 128]].map(([address, length]) =>
  parseCidr(address as string, length as number)!
);

/**
 * The proxy's own pages. Whoever may write a ServiceEntry or an EndpointSlice chooses where a shared proxy connects to; its admin interface,
 * which trusts whoever reaches loopback, is not among the choices.
 */
export class OwnPorts {
  readonly #own: string | undefined;
  readonly #ports = new Set<number>();

  /** @param instanceIp the pod's address; "" when it is not known */
  constructor(instanceIp: string) {
    const ip = parseIp(instanceIp);
    this.#own = ip && formatIp(ip);
  }

  add(...ports: number[]): void {
    for (const port of ports) if (port !== 0) this.#ports.add(port);
  }

  has(address: string, port: number): boolean {
    if (!this.#ports.has(port)) return false;
    const ip = parseIp(address);
    return ip !== undefined && (formatIp(ip) === this.#own || LOCAL.some((range) => inCidr(ip, range)));
  }
}
