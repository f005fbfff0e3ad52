import { setting } from "../../core/config.ts";

/** How ztunnel reaches istiod for xDS; token and cluster are in identity's table. */
export const XDS_CLIENT_SETTINGS = {
  xdsAddress: setting(
    "XDS_ADDRESS",
    "string",
    "",
    "istiod; empty: https://istiod.istio-system.svc:15012 in a pod, https://localhost:15012 elsewhere",
  ),
  xdsRoot: setting(
    "XDS_ROOT_CA",
    "string",
    "./var/run/secrets/istio/root-cert.pem",
    "Roots that istiod's certificate is checked against: file, PEM or SYSTEM",
  ),
  xdsAltHostname: setting("ALT_XDS_HOSTNAME", "string", "", "A further DNS name that istiod's certificate may carry"),
  xdsOnDemand: setting("XDS_ON_DEMAND", "boolean", false, "Fetch workloads and services when they are first needed"),
};

/** The default address of istiod, for xDS and certificates. */
export function defaultControlPlaneAddress(inCluster: boolean): string {
  return inCluster ? "https://istiod.istio-system.svc:15012" : "https://localhost:15012";
}
