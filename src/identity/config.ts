import { setting } from "../core/config.ts";

/** How a proxy obtains certificates; read by ztunnel. */
export const CA_CLIENT_SETTINGS = {
  caAddress: setting(
    "CA_ADDRESS",
    "string",
    "",
    "The CA, e.g. https://istiod.istio-system.svc:15012; empty: as xDS, by whether this is a pod",
  ),
  caRoot: setting(
    "CA_ROOT_CA",
    "string",
    "./var/run/secrets/istio/root-cert.pem",
    "Roots that the CA's certificate is checked against: file, PEM or SYSTEM",
  ),
  caAltHostname: setting("ALT_CA_HOSTNAME", "string", "", "A further DNS name that the CA's certificate may carry"),
  token: setting(
    "AUTH_TOKEN",
    "string",
    "./var/run/secrets/tokens/istio-token",
    "The bearer token for istiod: a file, read for each call, or the token",
  ),
  secretTtlMs: setting("SECRET_TTL", "duration", 24 * 3600_000, "Lifetime that certificates are asked for"),
  clusterId: setting(
    ["ISTIO_META_CLUSTER_ID", "CLUSTER_ID"],
    "string",
    "Kubernetes",
    "This cluster's name, sent as clusterid",
  ),
};

/** istiod's CA. */
export const CA_SERVER_SETTINGS = {
  defaultWorkloadTtlMs: setting(
    "DEFAULT_WORKLOAD_CERT_TTL",
    "duration",
    24 * 3600_000,
    "Lifetime of a certificate when the request names none",
  ),
  maxWorkloadTtlMs: setting(
    "MAX_WORKLOAD_CERT_TTL",
    "duration",
    90 * 24 * 3600_000,
    "A request for a longer life is refused",
  ),
  selfSignedTtlMs: setting(
    "CITADEL_SELF_SIGNED_CA_CERT_TTL",
    "duration",
    3650 * 24 * 3600_000,
    "Lifetime of the self-signed root and of istiod's serving certificate",
  ),
  selfSignedRsaBits: setting(
    "CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE",
    "integer",
    2048,
    "Key size of the self-signed root",
  ),
  rootCheckIntervalMs: setting(
    "CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL",
    "duration",
    3600_000,
    "How often the root's remaining life is looked at",
  ),
  rootGracePercent: setting(
    "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE",
    "integer",
    20,
    "The root is renewed when less than this share of its life is left",
  ),
  pluggedCaDirectory: setting("ROOT_CA_DIR", "string", "/etc/cacerts", "Where a plugged-in CA is mounted"),
  trustedNodeAccounts: setting(
    "CA_TRUSTED_NODE_ACCOUNTS",
    "list",
    [],
    "namespace/serviceaccount of those who may ask for other identities (ztunnel)",
  ),
  tokenAudiences: setting("TOKEN_AUDIENCES", "list", ["istio-ca"], "Audiences accepted in tokens"),
};
