import { all, choice, object, rule, type Schema } from "../schema.ts";
import {
  AGE,
  atomicList,
  type GatewayApiKind,
  groupName,
  kindName,
  localRef,
  objectName,
  options,
  policyStatus,
  preciseHostname,
  sectionName,
  text,
} from "./common.ts";

const target: Schema = object({ group: groupName, kind: kindName, name: objectName, sectionName }, [
  "group",
  "kind",
  "name",
]);

const validation: Schema = object(
  {
    caCertificateRefs: atomicList(localRef, { maxItems: 8 }),
    wellKnownCACertificates: {
      ...text(253, 1),
      pattern: "^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9]+))$",
    },
    hostname: preciseHostname,
    subjectAltNames: atomicList(
      object({ type: choice("Hostname", "URI"), hostname: preciseHostname, uri: text(253, 1) }, ["type"]),
      { maxItems: 5 },
    ),
  },
  ["hostname"],
  all(
    rule(
      "!(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 && has(self.wellKnownCACertificates) && self.wellKnownCACertificates != '')",
      "must not contain both caCertificateRefs and wellKnownCACertificates",
    ),
    rule(
      "(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0) || (has(self.wellKnownCACertificates) && self.wellKnownCACertificates != '')",
      "must specify either caCertificateRefs or wellKnownCACertificates",
    ),
  ),
);

export const BACKEND_TLS_POLICY: GatewayApiKind = {
  kind: "BackendTLSPolicy",
  plural: "backendtlspolicies",
  shortNames: ["btlspolicy"],
  versions: ["v1", "v1alpha3"],
  columns: [AGE],
  spec: object({ targetRefs: atomicList(target, { minItems: 1, maxItems: 16 }), validation, options }, [
    "targetRefs",
    "validation",
  ]),
  status: policyStatus,
};
