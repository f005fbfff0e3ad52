// Two network namespaces joined by a veth pair: the client's node and the server's node. What the client's side sends to
// the load server's ports is redirected to 15001 there, unless a proxy sent it.

import { newNetns } from "../support/netns.ts";
import type { Netns } from "../../src/net/netns.ts";

export const CLIENT_IP = "10.98.0.1", SERVER_IP = "10.98.0.2";
/** Ports of the load server: echo, sink, source. */
export const ECHO_PORT = 9001, SINK_PORT = 9002, SOURCE_PORT = 9003;
/** ztunnel runs as this user, because without a pod's namespace it marks nothing. */
export const PROXY_UID = 1337;

export interface Side {
  netns: Netns;
  /** What `nsenter --net=` takes. */
  path: string;
}

export class Lab {
  readonly client: Side = side();
  readonly server: Side = side();

  static async create(): Promise<Lab> {
    const lab = new Lab();
    await sh(
      lab.client,
      `ip link set lo up; ip link add veth0 type veth peer name veth0 netns ${lab.server.path};
       ip addr add ${CLIENT_IP}/24 dev veth0; ip link set veth0 up`,
    );
    await sh(lab.server, `ip link set lo up; ip addr add ${SERVER_IP}/24 dev veth0; ip link set veth0 up`);
    for (const side of [lab.client, lab.server]) {
      // A run opens hundreds of thousands of connections.
      await sh(
        side,
        `echo 20000 65000 > /proc/sys/net/ipv4/ip_local_port_range; echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse`,
      );
    }
    return lab;
  }

  /** Redirects the client's connections to the proxy, or not. */
  async redirect(on: boolean): Promise<void> {
    await sh(this.client, `nft delete table ip bench 2>/dev/null || true`);
    if (!on) return;
    const rules = `table ip bench { chain output { type nat hook output priority -100;
      meta skuid != ${PROXY_UID} meta mark != 0x539 tcp dport { ${ECHO_PORT}, ${SINK_PORT}, ${SOURCE_PORT} } redirect to :15001
}
}`;
    await sh(this.client, `nft -f - <<'EOF'\n${rules}\nEOF\n`);
  }

  close(): void {
    this.client.netns.close();
    this.server.netns.close();
  }
}

function side(): Side {
  const netns = newNetns();
  return { netns, path: `/proc/${Deno.pid}/fd/${netns.fd}` };
}

/** Runs a script in a namespace; throws what it wrote when it fails. */
export async function sh(side: Side, script: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("nsenter", {
    args: [`--net=${side.path}`, "--", "sh", "-ec", script],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`${script}: ${new TextDecoder().decode(stderr)}`);
}

/** A process in a namespace. */
export function spawn(
  side: Side,
  command: string[],
  env: Record<string, string> = {},
  log?: string,
): Deno.ChildProcess {
  const redirect = log ? `exec "$@" >${log} 2>&1` : `exec "$@"`;
  return new Deno.Command("nsenter", {
    args: [`--net=${side.path}`, "--", "sh", "-c", redirect, "sh", ...command],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
    env,
  }).spawn();
}
