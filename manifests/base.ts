import { customResourceDefinitions } from "./crds/mod.ts";
import { readerRoles } from "./rbac.ts";
import { commonLabels, type InstallValues, type Manifest } from "./values.ts";

/** Component base: the istio.io kinds and the account with which another cluster's istiod reads this one. */
export function base(values: InstallValues): Manifest[] {
  const labels = commonLabels("Base", "istio-base", values);
  return [
    {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: {
        name: "istio-reader-service-account",
        namespace: values.namespace,
        labels: { app: "istio-reader", ...labels },
      },
    },
    ...customResourceDefinitions().map((definition) => ({
      ...definition,
      metadata: {
        ...definition.metadata,
        labels: {
          ...definition.metadata.labels,
          "operator.istio.io/component": "Base",
          "install.operator.istio.io/owning-resource": "unknown",
          release: "istio",
        },
      },
    })) as unknown as Manifest[],
    ...readerRoles(values),
  ];
}
