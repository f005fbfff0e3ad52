// The sample applications, as text that is part of the executable: the files beside this one are the ones users apply.

import bookinfo from "./bookinfo/platform/kube/bookinfo.yaml" with { type: "text" };
import bookinfoVersions from "./bookinfo/platform/kube/bookinfo-versions.yaml" with { type: "text" };
import httpbin from "./httpbin/httpbin.yaml" with { type: "text" };
import outsideCaller from "./policies/outside-caller.yaml" with { type: "text" };
import productpageViewer from "./policies/productpage-viewer.yaml" with { type: "text" };
import strictMtls from "./policies/strict-mtls.yaml" with { type: "text" };
import notsleep from "./sleep/notsleep.yaml" with { type: "text" };
import sleep from "./sleep/sleep.yaml" with { type: "text" };

/** YAML of each sample by its path under manifests/samples. */
export const SAMPLES = {
  "bookinfo/platform/kube/bookinfo.yaml": bookinfo,
  "bookinfo/platform/kube/bookinfo-versions.yaml": bookinfoVersions,
  "httpbin/httpbin.yaml": httpbin,
  "sleep/notsleep.yaml": notsleep,
  "sleep/sleep.yaml": sleep,
} as const satisfies Record<string, string>;

/** YAML of the policies that the walkthrough applies, by name under manifests/samples/policies. */
export const SAMPLE_POLICIES = {
  "outside-caller": outsideCaller,
  "productpage-viewer": productpageViewer,
  "strict-mtls": strictMtls,
} as const satisfies Record<string, string>;
