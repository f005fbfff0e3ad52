import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { MeshError } from "../../../core/errors.ts";
import type { ClusterPki } from "../auth/pki.ts";
import type { ListenAddress } from "../server.ts";
import { type Gateway, handleRequest } from "./gateway.ts";
import { handleKubeletRequest } from "./kubelet.ts";
import { handleUpgrade } from "./upgrades.ts";

export type ListenErrorCode = "API_LISTEN_FAILED";

export interface HttpListeners {
  addresses: ListenAddress[];
  close(): Promise<void>;
}

const HEADERS_TIMEOUT_MS = 30_000;
/** Longer than clients keep idle connections, so that none is closed as a request sets out on it. */
const KEEP_ALIVE_TIMEOUT_MS = 180_000;

/** Serves the API over TLS on every address. @throws {MeshError} `API_LISTEN_FAILED` naming the address */
export async function listenHttps(gateway: Gateway, pki: ClusterPki, listen: ListenAddress[]): Promise<HttpListeners> {
  const servers: Server[] = [];
  const addresses: ListenAddress[] = [];
  const upgraded = new Set<{ destroy(): void }>();
  const close = async () => {
    for (const socket of upgraded) socket.destroy();
    await Promise.all(servers.map((server) => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    }));
  };
  try {
    for (const address of listen) {
      const server = createServer({
        key: pki.serving.keyPem,
        cert: pki.serving.certPem,
        ca: pki.caPem,
        // Who the client is decides the authenticator: also clients without certificates may talk.
        requestCert: true,
        rejectUnauthorized: false,
      });
      server.headersTimeout = HEADERS_TIMEOUT_MS;
      server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
      server.requestTimeout = 0;
      const kubelet = "path" in address ? undefined : address.kubelet;
      server.on(
        "request",
        (request, response) =>
          void (kubelet === undefined
            ? handleRequest(gateway, request, response)
            : handleKubeletRequest(gateway, kubelet, request, response)),
      );
      server.on("upgrade", (request, socket, head) => {
        if (kubelet !== undefined) return void socket.destroy();
        upgraded.add(socket);
        socket.on("close", () => upgraded.delete(socket));
        handleUpgrade(gateway, request, socket, head);
      });
      server.on("tlsClientError", () => {});
      servers.push(server);
      addresses.push(await started(server, address));
      server.on("error", (error) => gateway.log.error("the API server's listener failed", { error: error.message }));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { addresses, close };
}

function started(server: Server, address: ListenAddress): Promise<ListenAddress> {
  const shown = "path" in address ? address.path : `${address.hostname}:${address.port}`;
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(
        new MeshError<ListenErrorCode>("API_LISTEN_FAILED", `cannot listen on "${shown}" for the Kubernetes API`, {
          cause,
        }),
      );
    server.once("error", fail);
    const ready = () => {
      server.off("error", fail);
      resolve(
        "path" in address ? address : { hostname: address.hostname, port: (server.address() as AddressInfo).port },
      );
    };
    if ("path" in address) server.listen(address.path, ready);
    else server.listen(address.port, address.hostname, ready);
  });
}
