// The sample applications, as text that is part of the executable: the files beside this one are the ones users apply.

import kiali from "./addons/kiali.yaml" with { type: "text" };
import prometheus from "./addons/prometheus.yaml" with { type: "text" };
import apiGateway from "./bookinfo/gateway-api/bookinfo-gateway.yaml" with { type: "text" };
import routeReviews50V3 from "./bookinfo/gateway-api/route-reviews-50-v3.yaml" with { type: "text" };
import routeReviews9010 from "./bookinfo/gateway-api/route-reviews-90-10.yaml" with { type: "text" };
import routeReviewsV1 from "./bookinfo/gateway-api/route-reviews-v1.yaml" with { type: "text" };
import routeReviewsV3 from "./bookinfo/gateway-api/route-reviews-v3.yaml" with { type: "text" };
import istioGateway from "./bookinfo/networking/bookinfo-gateway.yaml" with { type: "text" };
import destinationRuleAll from "./bookinfo/networking/destination-rule-all.yaml" with { type: "text" };
import virtualServiceAllV1 from "./bookinfo/networking/virtual-service-all-v1.yaml" with { type: "text" };
import virtualServiceRatingsTestAbort from "./bookinfo/networking/virtual-service-ratings-test-abort.yaml" with { type: "text" };
import virtualServiceRatingsTestDelay from "./bookinfo/networking/virtual-service-ratings-test-delay.yaml" with { type: "text" };
import virtualServiceReviews9010 from "./bookinfo/networking/virtual-service-reviews-90-10.yaml" with { type: "text" };
import bookinfo from "./bookinfo/platform/kube/bookinfo.yaml" with { type: "text" };
import bookinfoVersions from "./bookinfo/platform/kube/bookinfo-versions.yaml" with { type: "text" };
import fortio from "./httpbin/sample-client/fortio-deploy.yaml" with { type: "text" };
import httpbin from "./httpbin/httpbin.yaml" with { type: "text" };
import outsideCaller from "./policies/outside-caller.yaml" with { type: "text" };
import productpageViewerL7 from "./policies/productpage-viewer-l7.yaml" with { type: "text" };
import productpageViewer from "./policies/productpage-viewer.yaml" with { type: "text" };
import strictMtls from "./policies/strict-mtls.yaml" with { type: "text" };
import notsleep from "./sleep/notsleep.yaml" with { type: "text" };
import sleep from "./sleep/sleep.yaml" with { type: "text" };

/** YAML of each sample by its path under manifests/samples. */
export const SAMPLES = {
  "addons/kiali.yaml": kiali,
  "addons/prometheus.yaml": prometheus,
  "bookinfo/gateway-api/bookinfo-gateway.yaml": apiGateway,
  "bookinfo/gateway-api/route-reviews-50-v3.yaml": routeReviews50V3,
  "bookinfo/gateway-api/route-reviews-90-10.yaml": routeReviews9010,
  "bookinfo/gateway-api/route-reviews-v1.yaml": routeReviewsV1,
  "bookinfo/gateway-api/route-reviews-v3.yaml": routeReviewsV3,
  "bookinfo/networking/bookinfo-gateway.yaml": istioGateway,
  "bookinfo/networking/destination-rule-all.yaml": destinationRuleAll,
  "bookinfo/networking/virtual-service-all-v1.yaml": virtualServiceAllV1,
  "bookinfo/networking/virtual-service-ratings-test-abort.yaml": virtualServiceRatingsTestAbort,
  "bookinfo/networking/virtual-service-ratings-test-delay.yaml": virtualServiceRatingsTestDelay,
  "bookinfo/networking/virtual-service-reviews-90-10.yaml": virtualServiceReviews9010,
  "bookinfo/platform/kube/bookinfo.yaml": bookinfo,
  "bookinfo/platform/kube/bookinfo-versions.yaml": bookinfoVersions,
  "httpbin/httpbin.yaml": httpbin,
  "httpbin/sample-client/fortio-deploy.yaml": fortio,
  "sleep/notsleep.yaml": notsleep,
  "sleep/sleep.yaml": sleep,
} as const satisfies Record<string, string>;

/** YAML of the policies that the walkthrough applies, by name under manifests/samples/policies. */
export const SAMPLE_POLICIES = {
  "outside-caller": outsideCaller,
  "productpage-viewer": productpageViewer,
  "productpage-viewer-l7": productpageViewerL7,
  "strict-mtls": strictMtls,
} as const satisfies Record<string, string>;
