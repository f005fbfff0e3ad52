// What the bench compares: nothing in between, our pair of proxies, a pair of real ztunnels.

import { CertificateAuthority } from "../../src/identity/authority.ts";
import { caToSecretData } from "../../src/identity/ca_material.ts";
import { spiffeId } from "../../src/model/identity.ts";
import { issueWorkload, testCaMaterial } from "../identity/support.ts";
import { CLIENT_IP, type Lab, PROXY_UID, SERVER_IP, type Side, spawn } from "./lab.ts";

/** A pair of running proxies (none for a direct connection). */
export interface Pair {
  name: string;
  pids: number[];
  stop(): Promise<void>;
}

const DENO = Deno.execPath();

export async function startDirect(lab: Lab): Promise<Pair> {
  await lab.redirect(false);
  return { name: "direct", pids: [], stop: () => Promise.resolve() };
}

/** Our HBONE engine alone: no policy, no lookups, no logs. */
export async function startBare(lab: Lab, folder: string, denoFlags: string[] = [], log?: string): Promise<Pair> {
  const ca = new CertificateAuthority(await testCaMaterial());
  const files: string[] = [];
  const ids = ["client", "server"].map((name) =>
    spiffeId({ trustDomain: "cluster.local", namespace: "default", serviceAccount: name })
  );
  for (const id of ids) {
    const { leafDer: _, ...certificate } = await issueWorkload(ca, id);
    const file = `${folder}/${id.split("/").at(-1)}.json`;
    await Deno.writeTextFile(file, JSON.stringify(certificate));
    files.push(file);
  }
  const program = new URL("proxy.ts", import.meta.url).pathname;
  const run = (side: Side, direction: string, file: string, peer: string) =>
    spawn(
      side,
      [DENO, "run", "-A", "--no-check", ...denoFlags, program, direction, file, peer],
      {},
      log && `${log}-${direction}.log`,
    );
  const children = [run(lab.server, "inbound", files[1], ids[0]), run(lab.client, "outbound", files[0], ids[1])];
  if (log) await new Promise((resolve) => setTimeout(resolve, 3000));
  else for (const child of children) await ready(child);
  await lab.redirect(true);
  return { name: "bare", pids: children.map((child) => child.pid), stop: () => end(children) };
}

/** The real Rust ztunnel. */
export function startZtunnel(lab: Lab, folder: string, binary: string): Promise<Pair> {
  // Without a pod's namespace it marks nothing, so the redirect rule knows it by its user.
  const command = ["setpriv", `--reuid=${PROXY_UID}`, "--clear-groups", binary];
  return startNodeProxies("ztunnel", lab, folder, command, {});
}

/** `ambientd ztunnel`, set up like the real one. */
export async function startOurs(lab: Lab, folder: string): Promise<Pair> {
  await Deno.mkdir(`${folder}/ca`, { recursive: true });
  for (const [name, text] of Object.entries(caToSecretData(await testCaMaterial()))) {
    await Deno.writeTextFile(`${folder}/ca/${name}`, text);
  }
  const main = Deno.env.get("BENCH_MAIN") ?? new URL("../../main.ts", import.meta.url).pathname;
  const command = [
    DENO,
    "run",
    "--allow-all",
    "--no-prompt",
    "--no-check",
    ...(Deno.env.get("BENCH_DENO_FLAGS") || undefined)?.split(" ") ?? [],
    main,
    "ztunnel",
  ];
  return startNodeProxies("ours", lab, folder, command, {
    PACKET_MARK: "1337",
    FAKE_CA_DIR: `${folder}/ca`,
    // As in manifests/ztunnel.ts.
    DENO_V8_FLAGS: Deno.env.get("DENO_V8_FLAGS") ?? "--max-semi-space-size=2",
  });
}

async function startNodeProxies(
  title: string,
  lab: Lab,
  folder: string,
  command: string[],
  env: Record<string, string>,
): Promise<Pair> {
  const config = `${folder}/local.yaml`;
  const workload = (name: string, ip: string) => ({
    uid: `cluster1//v1/Pod/default/${name}`,
    name,
    namespace: "default",
    serviceAccount: name,
    trustDomain: "cluster.local",
    workloadIps: [ip],
    protocol: "HBONE",
    node: "local",
    network: "",
    services: {},
  });
  const workloads = [workload("client", CLIENT_IP), workload("server", SERVER_IP)];
  await Deno.writeTextFile(config, JSON.stringify({ workloads, policies: [], services: [] }));
  await Deno.chmod(folder, 0o755);
  const run = (side: Side, name: string) =>
    spawn(side, command, {
      PROXY_MODE: "dedicated",
      PROXY_WORKLOAD_INFO: `default/${name}/${name}`,
      LOCAL_XDS_PATH: config,
      FAKE_CA: "true",
      XDS_ADDRESS: "",
      CA_ADDRESS: "",
      ENABLE_ORIG_SRC: "false",
      NODE_NAME: "local",
      RUST_LOG: "info",
      ISTIO_META_DNS_CAPTURE: "false",
      ...env,
    }, `${folder}/${title}-${name}.log`);
  const children: Deno.ChildProcess[] = [];
  for (const [side, name] of [[lab.server, "server"], [lab.client, "client"]] as const) {
    children.push(run(side, name));
    await portReady(side, 15021, `${folder}/${title}-${name}.log`);
  }
  await lab.redirect(true);
  return { name: title, pids: children.map((child) => child.pid), stop: () => end(children) };
}

/** Waits for the child's "ready" line. */
export async function ready(
  child: Deno.ChildProcess,
  word = "ready",
): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  const reader = child.stdout.getReader();
  let text = "";
  while (!text.includes(word)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`a child of the bench ended before it was ready: ${text}`);
    text += new TextDecoder().decode(value);
  }
  return reader;
}

async function portReady(side: Side, port: number, log: string): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const { success } = await new Deno.Command("nsenter", {
      args: [`--net=${side.path}`, "--", "curl", "-sf", `http://127.0.0.1:${port}/healthz/ready`],
      stdout: "null",
      stderr: "null",
    }).output();
    if (success) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`a proxy did not become ready: ${await Deno.readTextFile(log)}`);
}

async function end(children: Deno.ChildProcess[]): Promise<void> {
  for (const child of children) {
    child.kill("SIGKILL");
    await child.status;
    await child.stdin.close().catch(() => {});
    await child.stdout.cancel().catch(() => {});
  }
}

/** CPU seconds of the processes so far. */
export function cpuSeconds(pids: number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ").at(-1)!.split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / 100;
}

/** Resident memory per process, in MB. */
export function residentMb(pids: number[]): number {
  let kb = 0;
  for (const pid of pids) {
    kb += Number(/VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))![1]);
  }
  return kb / 1024 / Math.max(1, pids.length);
}
