// Releases of the Gateway API's definitions, as the tutorials name them: the files of the Go module `sigs.k8s.io/gateway-api`, from the
// Go module proxy, kept below the user's cache directory. Nothing of them is in this repository.

import { createHash } from "node:crypto";
import { stringify } from "yaml";
import { gatewayApiDefinitions } from "../../manifests/crds/gateway_api/mod.ts";
import { unzip } from "./zip.ts";

/** The releases that tutorials name, with the SHA-256 of their archives. */
const SHA256 = {
  "v0.6.2": "de1ff6c64d3f134a21be468e0cd7c06740d6f7a42e7a9c034fbdcfea40dafcf8",
  "v1.1.0": "f2911b9bc3f1fedb7203c2c6e5ddba263795ddc0176528d878db693058547a34",
} as const;

export type ReleaseName = keyof typeof SHA256;

const MODULE = "sigs.k8s.io/gateway-api";
const PROXY = "https://proxy.golang.org";
const DOWNLOAD_MS = 60_000;

/** The archive of a release, from the cache or the Go module proxy. Throws an Error that says why there is none. */
async function archiveOf(release: ReleaseName): Promise<Uint8Array> {
  const cached = `${cacheDir()}/${release}.zip`;
  const right = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex") === SHA256[release];
  try {
    const bytes = await Deno.readFile(cached);
    if (right(bytes)) return bytes;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const url = `${goProxy()}/${MODULE}/@v/${release}.zip`;
  const bytes = await download(url);
  if (!right(bytes)) throw new Error(`${url} is not the release whose checksum is known`);
  await Deno.mkdir(cacheDir(), { recursive: true });
  // Another run of the tests may do the same at this moment.
  const own = `${cached}.${Deno.pid}`;
  await Deno.writeFile(own, bytes);
  await Deno.rename(own, cached);
  return bytes;
}

async function download(url: string): Promise<Uint8Array> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(DOWNLOAD_MS) });
    if (response.ok) return await response.bytes();
    await response.body?.cancel();
    throw new Error(`the answer was ${response.status}`);
  } catch (error) {
    throw new Error(`cannot download ${url}: ${(error as Error).message}`);
  }
}

/** The first module proxy of GOPROXY, a list of addresses, `direct` and `off`. */
function goProxy(): string {
  const [first] = (Deno.env.get("GOPROXY") || PROXY).split(/[,|]/).filter((one) => /^https?:\/\//.test(one));
  if (!first) throw new Error(`GOPROXY=${Deno.env.get("GOPROXY")} names no module proxy`);
  return first.replace(/\/$/, "");
}

function cacheDir(): string {
  return `${Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") ?? "/tmp"}/.cache`}/ambientd-tests/gateway-api`;
}

/** Definitions in a folder that `kubectl kustomize` takes. */
export interface Definitions {
  /** `v1.1.0`, or `bundled` for those that `ambientd up` brings. */
  readonly release: ReleaseName | "bundled";
  readonly folder: string;
}

/** Lays the experimental channel of a release out below a folder. Throws an Error that says why it cannot be had. */
export async function releaseDefinitions(release: ReleaseName, below: string): Promise<Definitions> {
  const root = `${MODULE}@${release}/`, channel = "config/crd/experimental";
  const files = unzip(await archiveOf(release), `${root}${channel}/`);
  for (const [name, bytes] of files) {
    const path = `${below}/${name}`;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeFileSync(path, bytes);
  }
  return { release, folder: `${below}/${root}${channel}` };
}

/** The definitions that `ambientd up` brings, laid out like those of a release. */
export function bundledDefinitions(below: string): Definitions {
  const folder = `${below}/gateway-api`;
  Deno.mkdirSync(folder, { recursive: true });
  const text = gatewayApiDefinitions().map((definition) => stringify(definition)).join("---\n");
  Deno.writeTextFileSync(`${folder}/definitions.yaml`, text);
  Deno.writeTextFileSync(`${folder}/kustomization.yaml`, "resources: [definitions.yaml]\n");
  return { release: "bundled", folder };
}
