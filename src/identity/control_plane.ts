// How a proxy reaches the control plane, for xDS and for certificates alike: address, trust, token, metadata.

import { readFile } from "node:fs/promises";
import { Buffer } from "node:buffer";
import { checkServerIdentity, type PeerCertificate, rootCertificates } from "node:tls";
import { MeshError } from "../core/errors.ts";
import { parseIp, splitHostPort } from "../core/ip.ts";
import { grpc } from "./grpc.ts";

export type ControlPlaneErrorCode = "invalid_address" | "unreadable_root" | "unreadable_token";

/** Where a service of the control plane is and how to speak to it. */
export interface ControlPlaneOptions {
  /** `https://host:port`, `http://host:port` (plaintext) or `host:port` (TLS). */
  readonly address: string;
  /** A file, inline PEM, or `SYSTEM` for the roots that come with the runtime. Files are read again for every connection. */
  readonly rootCa: string;
  /** A further DNS name that the server's certificate may carry (`ALT_XDS_HOSTNAME`, `ALT_CA_HOSTNAME`). */
  readonly altHostname?: string;
  /** A file that holds the bearer token, read for every call, or the token itself; empty for none. */
  readonly token: string;
  /** Sent as `clusterid`. */
  readonly clusterId: string;
  /** Further metadata (`XDS_HEADER_*`, `CA_HEADER_*`). */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The gRPC target of an address and whether it is spoken to in TLS. */
export function parseAddress(address: string): { target: string; host: string; tls: boolean } {
  const scheme = /^(https?):\/\/(.*?)\/?$/.exec(address);
  const tls = scheme?.[1] !== "http", rest = scheme?.[2] ?? address;
  const split = splitHostPort(rest) ?? splitHostPort(`${rest}:${tls ? 443 : 80}`);
  if (!split) {
    throw new MeshError<ControlPlaneErrorCode>(
      "invalid_address",
      `cannot use "${address}" as a control-plane address; write it like https://istiod.istio-system.svc:15012`,
    );
  }
  const { host, port } = split;
  return { target: host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`, host, tls };
}

/**
 * The roots to trust, read now; empty for plaintext.
 *
 * @throws MeshError `unreadable_root`, `invalid_address`
 */
export async function readRoots({ address, rootCa }: Pick<ControlPlaneOptions, "address" | "rootCa">): Promise<string> {
  if (!parseAddress(address).tls) return "";
  if (rootCa === "SYSTEM") return rootCertificates.join("\n");
  if (rootCa.includes("-----BEGIN ")) return rootCa;
  try {
    return await readFile(rootCa, "utf8");
  } catch (cause) {
    throw new MeshError<ControlPlaneErrorCode>(
      "unreadable_root",
      `cannot read the control plane's root certificate "${rootCa}"`,
      {
        retryable: true,
        cause,
      },
    );
  }
}

/**
 * The metadata of a call, with the token as it is now.
 *
 * @throws MeshError `unreadable_token`
 */
export async function callMetadata(options: ControlPlaneOptions): Promise<grpc.Metadata> {
  const metadata = new grpc.Metadata();
  const token = await readToken(options.token);
  if (token !== "") metadata.set("authorization", `Bearer ${token}`);
  metadata.set("clusterid", options.clusterId);
  for (const [name, value] of Object.entries(options.headers ?? {})) metadata.set(name, value);
  return metadata;
}

async function readToken(token: string): Promise<string> {
  if (token === "") return "";
  try {
    // A newline at the end of the file would make an illegal header.
    return (await readFile(token, "utf8")).trim();
  } catch (cause) {
    // A JWT has two dots and no slash; anything else was meant as a file.
    if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return token;
    throw new MeshError<ControlPlaneErrorCode>("unreadable_token", `cannot read the token file "${token}"`, {
      retryable: true,
      cause,
    });
  }
}

/** A channel of its own (no connection is shared with another), connecting on first use. */
export function openChannel(options: ControlPlaneOptions, rootsPem: string, maxReceiveBytes: number): grpc.Client {
  const { target: address, host, tls } = parseAddress(options.address);
  // grpc-js hands a literal to its DNS resolver otherwise, whose answer may come after the channel's end and bring it back to life,
  // connecting for ever.
  const literal = parseIp(host);
  const target = literal ? `${host.includes(":") ? "ipv6" : "ipv4"}:${address}` : address;
  const channelOptions: grpc.ChannelOptions = {
    "grpc.max_receive_message_length": maxReceiveBytes,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.use_local_subchannel_pool": 1,
    // Callers give up a channel that could not connect and pace themselves; the channel's own timer must not outlive it by much.
    "grpc.initial_reconnect_backoff_ms": 10,
    "grpc.max_reconnect_backoff_ms": 10,
    "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
  };
  if (!tls) return new grpc.Client(target, grpc.credentials.createInsecure(), channelOptions);
  const names = options.altHostname ? [host, options.altHostname] : [host];
  // An address literal cannot be sent as server name; what the certificate must name is checked below either way.
  if (literal) channelOptions["grpc.ssl_target_name_override"] = options.altHostname ?? "localhost";
  const credentials = grpc.credentials.createSsl(Buffer.from(rootsPem), null, null, {
    checkServerIdentity: (_host: string, certificate: PeerCertificate) => {
      const failures = names.map((name) => checkServerIdentity(name, certificate));
      return failures.includes(undefined) ? undefined : failures[0];
    },
  });
  return new grpc.Client(target, credentials, channelOptions);
}

/** Metadata from environment entries such as `XDS_HEADER_x-team=mesh` with prefix `XDS_HEADER_`. */
export function headersFromEnv(env: Readonly<Record<string, string>>, prefix: string): Record<string, string> {
  const found = Object.entries(env).filter(([name]) => name.startsWith(prefix) && name.length > prefix.length);
  return Object.fromEntries(found.map(([name, value]) => [name.slice(prefix.length).toLowerCase(), value]));
}
