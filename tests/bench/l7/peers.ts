// The two proxies of the L7 bench as processes, and the backend.

import { CertificateAuthority } from "../../../src/identity/authority.ts";
import type { WorkloadCertificate } from "../../../src/identity/types.ts";
import { spiffeId } from "../../../src/model/identity.ts";
import { issueWorkload, testCaMaterial } from "../../identity/support.ts";
import { envoyConfig } from "./envoy.ts";
import type { ProxyInput } from "./assemble.ts";
import { type BackendPorts, type ProxyPorts, resources, type Scenario } from "./scenario.ts";

const DENO = Deno.execPath();
const here = (file: string) => new URL(file, import.meta.url).pathname;
export const denoRun = (file: string, ...args: string[]): string[] => runProgram(here(file), args);

const runProgram = (path: string, args: readonly string[]): string[] => [
  DENO,
  "run",
  "-A",
  "--no-prompt",
  "--no-check",
  path,
  ...args,
];

const cores = navigator.hardwareConcurrency;
/** The proxies have a core of their own where there are two; load and backend share the others. */
const PROXY_CORES = "0", OTHER_CORES = cores > 1 ? `1-${cores - 1}` : "0";

/** A process on its cores. */
function start(pins: string, command: string[], output: string, env: Record<string, string> = {}): Deno.ChildProcess {
  return new Deno.Command("taskset", {
    args: ["-c", pins, "sh", "-c", `exec "$@" >${output} 2>${output}.err`, "sh", ...command],
    stdin: "null",
    stdout: "null",
    stderr: "null",
    env,
  }).spawn();
}

/** Runs to its end on the load's cores. @throws Error with what it wrote when it fails */
export async function runLoad(command: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("taskset", {
    args: ["-c", OTHER_CORES, ...command],
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  if (!success) throw new Error(`${command.join(" ")}: ${text}${new TextDecoder().decode(stderr)}`);
  return text;
}

/** A child that holds connections until its stdin closes. */
export function spawnLoad(command: string[]): Deno.ChildProcess {
  return new Deno.Command("taskset", {
    args: ["-c", OTHER_CORES, ...command],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

/** What all processes of one run share. */
export interface Lab {
  readonly folder: string;
  readonly backend: BackendPorts;
  readonly certificate: { chain: string; key: string };
  readonly workload: WorkloadCertificate;
  /** The workload's certificate as a file. */
  readonly workloadFile: string;
}

/** A running proxy. */
export interface Peer {
  readonly name: "ours" | "peer";
  readonly pid: number;
  readonly ports: ProxyPorts;
  stop(): Promise<void>;
}

/** Certificates, and the backend. */
export async function startLab(folder: string): Promise<Lab & { stop(): Promise<void> }> {
  const backend = { http1: freePort(), http2: freePort() };
  const child = start(
    OTHER_CORES,
    denoRun("backend.ts", String(backend.http1), String(backend.http2)),
    `${folder}/backend`,
  );
  const ca = new CertificateAuthority(await testCaMaterial());
  const id = spiffeId({ trustDomain: "cluster.local", namespace: "bench", serviceAccount: "waypoint" });
  const workload = await issueWorkload(ca, id);
  const workloadFile = `${folder}/workload.json`;
  await Deno.writeTextFile(workloadFile, JSON.stringify({ ...workload, leafDer: undefined }));
  const certificate = await selfSigned(folder);
  await listening(backend.http1, `${folder}/backend.err`);
  return { folder, backend, certificate, workload, workloadFile, stop: () => end(child) };
}

async function selfSigned(folder: string): Promise<{ chain: string; key: string }> {
  const [keyFile, chainFile] = [`${folder}/key.pem`, `${folder}/chain.pem`];
  const { success } = await new Deno.Command("openssl", {
    args: ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"].concat(
      ["-subj", "/CN=bench", "-keyout", keyFile, "-out", chainFile],
    ),
    stderr: "null",
  }).output();
  if (!success) throw new Error("openssl could not make a certificate");
  return { chain: await Deno.readTextFile(chainFile), key: await Deno.readTextFile(keyFile) };
}

/** @param base another checkout, which is measured as the peer; ours when it is not given */
export async function startOurs(lab: Lab, scenario: Scenario, base?: string): Promise<Peer> {
  const ports = proxyPorts();
  const input: ProxyInput = {
    resources: resources(scenario, ports, lab.backend, lab.certificate),
    hbone: ports.hbone,
    workload: lab.workload,
  };
  const name = base === undefined ? "ours" : "peer", output = `${lab.folder}/${name}-access.log`;
  const file = `${lab.folder}/${name}.json`;
  await Deno.writeTextFile(file, JSON.stringify({ ...input, workload: { ...lab.workload, leafDer: undefined } }));
  const program = base === undefined ? here("ours.ts") : `${base}/tests/bench/l7/ours.ts`;
  const [deno, run, ...rest] = runProgram(program, [file]);
  const flags = (Deno.env.get("BENCH_DENO_FLAGS") || undefined)?.split(" ") ?? [];
  const child = start(PROXY_CORES, [deno, run, ...flags, ...rest], output, {
    // As in manifests/gateway.ts.
    DENO_V8_FLAGS: Deno.env.get("DENO_V8_FLAGS") ?? "--max-semi-space-size=4",
  });
  await listening(ports.https, `${output}.err`);
  return { name, pid: child.pid, ports, stop: () => end(child) };
}

export async function startEnvoy(lab: Lab, scenario: Scenario, binary: string): Promise<Peer> {
  const ports = proxyPorts();
  const config = envoyConfig({
    scenario,
    ports,
    backend: lab.backend,
    certificate: lab.certificate,
    workload: lab.workload,
    accessLog: `${lab.folder}/envoy-access.log`,
    adminPath: `${lab.folder}/envoy-admin`,
  });
  const file = `${lab.folder}/envoy.json`;
  await Deno.writeTextFile(file, JSON.stringify(config));
  const child = start(
    PROXY_CORES,
    [binary, "-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"],
    `${lab.folder}/envoy`,
  );
  await listening(ports.http, `${lab.folder}/envoy.err`);
  return { name: "peer", pid: child.pid, ports, stop: () => end(child) };
}

function proxyPorts(): ProxyPorts {
  return { http: freePort(), https: freePort(), hbone: freePort() };
}

const given = new Set<number>();

function freePort(): number {
  for (;;) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    listener.close();
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
}

async function listening(port: number, errors: string): Promise<void> {
  for (let i = 0; i < 200; i++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error(`nobody listens on port ${port}: ${await Deno.readTextFile(errors).catch(() => "")}`);
}

async function end(child: Deno.ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await child.status;
}
