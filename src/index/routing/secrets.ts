// Secrets with certificates -> the proxy's resource.

import type { KubeObject } from "../../kube/types.ts";
import type { TlsSecret } from "../../model/l7.ts";
import { isObject } from "../read.ts";

interface Keys {
  readonly chain: string;
  readonly key: string;
  readonly ca: string;
}

const read = new WeakMap<KubeObject, Keys>();

/** The parts of a Secret as text: `tls.crt`, `tls.key` and `ca.crt`, or Istio's older `cert`, `key` and `cacert`. "" for what is not there. */
export function readSecret(object: KubeObject): Keys {
  let keys = read.get(object);
  if (!keys) {
    keys = {
      chain: pem(object, ["tls.crt", "cert"], "CERTIFICATE"),
      key: pem(object, ["tls.key", "key"], "PRIVATE KEY"),
      ca: pem(object, ["ca.crt", "cacert"], "CERTIFICATE"),
    };
    read.set(object, keys);
  }
  return keys;
}

function pem({ data, stringData }: KubeObject, names: readonly string[], label: string): string {
  for (const name of names) {
    const encoded = isObject(data) ? data[name] : undefined,
      plain = isObject(stringData) ? stringData[name] : undefined;
    const text = typeof encoded === "string" ? decode(encoded) : typeof plain === "string" ? plain : "";
    if (new RegExp(`-----BEGIN [A-Z ]*${label}-----`).test(text)) return text;
  }
  return "";
}

function decode(text: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)));
  } catch {
    return "";
  }
}

export function secretName(namespace: string, name: string): string {
  return `kubernetes://${namespace}/${name}`;
}

/** A server's certificate and key; undefined when the Secret has none. `ca` is part of it when it is there. */
export function serverSecret(object: KubeObject): TlsSecret | undefined {
  const { chain, key, ca } = readSecret(object), { namespace = "default", name } = object.metadata;
  if (chain === "" || key === "") return undefined;
  return {
    kind: "secret",
    name: secretName(namespace, name),
    certificateChain: chain,
    privateKey: key,
    ...(ca ? { ca } : {}),
  };
}

/** The roots that a Secret or ConfigMap holds; undefined when it holds none. */
export function rootsSecret(object: KubeObject, name: string): TlsSecret | undefined {
  const { ca } = object.kind === "ConfigMap" ? { ca: configMapRoots(object) } : readSecret(object);
  return ca === "" ? undefined : { kind: "secret", name, certificateChain: "", privateKey: "", ca };
}

function configMapRoots({ data }: KubeObject): string {
  const text = isObject(data) ? data["ca.crt"] : undefined;
  return typeof text === "string" && text.includes("-----BEGIN CERTIFICATE-----") ? text : "";
}
