// A small network of pods for tests: unnamed network namespaces joined by a bridge in one more namespace. Nothing of it
// is visible from the host, and all of it goes when its descriptors are closed. Needs root (or a user namespace).

import { CLONE_NEWNET } from "../../src/sys/constants.ts";
import { sysError } from "../../src/sys/errno.ts";
import { libc } from "../../src/sys/libc.ts";
import { type Netns, openNetns } from "../../src/net/netns.ts";

/** Whether namespaces can be made here; name the reason in the test's title where they cannot. */
export const CAN_NETNS: boolean = (() => {
  try {
    newNetns().close();
    return true;
  } catch {
    return false;
  }
})();

/** A fresh namespace, held by its descriptor alone. */
export function newNetns(): Netns {
  const home = openNetns("/proc/thread-self/ns/net");
  try {
    if (libc.unshare(CLONE_NEWNET) < 0) throw sysError("cannot make a network namespace");
    const made = openNetns("/proc/thread-self/ns/net");
    if (libc.setns(home.fd, CLONE_NEWNET) < 0) throw sysError("cannot return from a network namespace");
    return made;
  } finally {
    home.close();
  }
}

export class LabPod {
  constructor(readonly name: string, readonly ip: string, readonly ip6: string, readonly netns: Netns) {}

  /** A path that other processes can open; also what to give `nsenter --net=` when debugging. */
  get path(): string {
    return `/proc/${Deno.pid}/fd/${this.netns.fd}`;
  }

  /** Runs a command inside and returns its output; throws what it wrote to stderr when it fails. */
  async run(command: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(command, ...args);
    if (code !== 0) throw new Error(`${command} ${args.join(" ")}: exit ${code}: ${stderr}`);
    return stdout;
  }

  async try(command: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const output = await new Deno.Command("nsenter", {
      args: [`--net=${this.path}`, "--", command, ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
  }
}

/** Pods on one bridge: `10.99.0.0/16` and `fd99::/64`. */
export class NetLab {
  readonly #bridge: LabPod;
  readonly #pods: LabPod[] = [];

  private constructor() {
    this.#bridge = new LabPod("bridge", "10.99.0.1", "fd99::1", newNetns());
  }

  static async create(): Promise<NetLab> {
    const lab = new NetLab();
    await lab.#bridge.run(
      "sh",
      "-ec",
      "ip link set lo up; ip link add br0 type bridge; ip addr add 10.99.0.1/16 dev br0; " +
        "ip -6 addr add fd99::1/64 dev br0 nodad; ip link set br0 up",
    );
    return lab;
  }

  async pod(name: string): Promise<LabPod> {
    const index = this.#pods.length + 2;
    const pod = new LabPod(name, `10.99.0.${index}`, `fd99::${index.toString(16)}`, newNetns());
    this.#pods.push(pod);
    await this.#bridge.run(
      "sh",
      "-ec",
      `ip link add v${index} type veth peer name eth0 netns ${pod.path}; ip link set v${index} master br0 up`,
    );
    await pod.run(
      "sh",
      "-ec",
      `ip link set lo up; ip addr add ${pod.ip}/16 dev eth0; ip -6 addr add ${pod.ip6}/64 dev eth0 nodad; ` +
        "ip link set eth0 up; ip route add default via 10.99.0.1; ip -6 route add default via fd99::1",
    );
    return pod;
  }

  close(): void {
    for (const pod of [...this.#pods, this.#bridge]) pod.netns.close();
  }
}
