import { join } from "node:path";
import type { Logger } from "../../telemetry/logger.ts";
import type { ClusterApi, PodBackend, TokenIssuer } from "../contracts.ts";
import { StateDatabase } from "../store/database.ts";
import { ObjectStore } from "../store/store.ts";
import { Authenticator } from "./auth/authenticator.ts";
import { loadPki } from "./auth/pki.ts";
import { RbacAuthorizer } from "./auth/rbac.ts";
import { ServiceAccountTokens } from "./auth/tokens.ts";
import { bootstrapObjects } from "./bootstrap.ts";
import { loadCel } from "./crd/cel.ts";
import { ApiCore } from "./core.ts";
import { DefinitionsController } from "./crd/definitions_controller.ts";
import type { Gateway } from "./http/gateway.ts";
import { listenHttps } from "./http/listeners.ts";
import { LocalApi } from "./local_api.ts";
import { TypeRegistry } from "./registry.ts";

/**
 * Where the API server listens, with TLS everywhere: TCP, or a Unix socket made at `path`. With `kubelet`, the name of a node, it
 * answers there as that node's kubelet instead.
 */
export type ListenAddress = { hostname: string; port: number; kubelet?: string } | { path: string };

export interface ApiServerOptions {
  /** Holds `state.db` and `pki/`. */
  dataDir: string;
  listen: ListenAddress[];
  log: Logger;
  /** Reaches running pods for logs, exec and port-forward; may be set later with `setBackend`. */
  backend?: PodBackend;
  clock?: { now(): number };
  /** More names that the serving certificate is good for. */
  extraDnsNames?: string[];
  extraAddresses?: string[];
}

/** Credentials of a cluster administrator. */
export interface AdminCredentials {
  caPem: string;
  clientCertPem: string;
  clientKeyPem: string;
}

export interface ApiServer {
  readonly api: ClusterApi;
  readonly tokens: TokenIssuer;
  /** Addresses that are listened on; ports are the ones in use. */
  readonly addresses: ListenAddress[];
  /** Bearer token of an administrator, for clients without certificates. */
  readonly adminToken: string;
  setBackend(backend: PodBackend): void;
  adminKubeconfig(serverUrl: string): AdminCredentials & { server: string };
  /** Ends connections, writes what is pending, closes the database. */
  close(): Promise<void>;
}

/**
 * Starts the API server of an embedded cluster.
 *
 * @throws {MeshError} where the state or the keys in `dataDir` cannot be used, or an address cannot be listened on
 */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { dataDir, log } = options;
  const now = options.clock ? () => options.clock!.now() : () => Date.now();
  const database = new StateDatabase(join(dataDir, "state.db"));
  const store = new ObjectStore(database, {
    onWriteError: (error) => log.error("cannot write the cluster state", { path: database.path, error: String(error) }),
  });
  try {
    const pki = loadPki(join(dataDir, "pki"), now(), options.extraDnsNames, options.extraAddresses);
    const registry = new TypeRegistry();
    const core = new ApiCore({ store, registry, now });
    const definitions = new DefinitionsController(core, log);
    definitions.start();
    bootstrapObjects(core);
    const tokens = new ServiceAccountTokens(pki.tokenKey, pki.tokenPublicKey, store, now);
    const api = new LocalApi(
      core,
      (error) => log.error("a watch handler failed", { error: error instanceof Error ? error.stack : String(error) }),
    );
    const closing = new AbortController();
    let backend = options.backend;
    const gateway: Gateway = {
      core,
      authenticator: new Authenticator({ caPem: pki.caPem, adminToken: pki.adminToken, tokens, now }),
      authorizer: new RbacAuthorizer(store),
      tokens,
      caPem: pki.caPem,
      log,
      backend: () => backend,
      closing: closing.signal,
    };
    // Stored definitions may have rules; reading the evaluator need not hold up the start.
    if (store.count("apiextensions.k8s.io/customresourcedefinitions") > 0) void loadCel();
    const listeners = await listenHttps(gateway, pki, options.listen);
    return {
      api,
      tokens,
      addresses: listeners.addresses,
      adminToken: pki.adminToken,
      setBackend: (next) => {
        backend = next;
      },
      adminKubeconfig: (server) => ({
        server,
        caPem: pki.caPem,
        clientCertPem: pki.admin.certPem,
        clientKeyPem: pki.admin.keyPem,
      }),
      close: async () => {
        closing.abort();
        await listeners.close();
        definitions.stop();
        store.close();
      },
    };
  } catch (error) {
    store.close();
    throw error;
  }
}
