import type { ServerResponse } from "node:http";
import { unknownPath } from "../errors.ts";
import { ISSUER } from "../auth/tokens.ts";
import { OPENAPI_V2_PROTOBUF, openApiV2, openApiV2Protobuf, openApiV3, openApiV3Index } from "../openapi/documents.ts";
import { aggregatedDiscovery, apiGroup, apiGroupList, apiResourceList, apiVersions } from "./discovery.ts";
import type { Call } from "./gateway.ts";
import { negotiate } from "./negotiation.ts";
import { sendObject, sendText } from "./responses.ts";
import { methodNotAllowed } from "../errors.ts";

/** What `kubectl version` shows of the server. */
export const SERVER_VERSION = {
  major: "1",
  minor: "32",
  gitVersion: "v1.32.0+ambientd",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "2024-12-11T00:00:00Z",
  goVersion: "none",
  compiler: "deno",
  platform: `linux/${{ x86_64: "amd64", aarch64: "arm64" }[Deno.build.arch as string] ?? Deno.build.arch}`,
};

const ROOT_PATHS = [
  "/.well-known/openid-configuration",
  "/api",
  "/api/v1",
  "/apis",
  "/healthz",
  "/livez",
  "/openapi/v2",
  "/openapi/v3",
  "/openid/v1/jwks",
  "/readyz",
  "/version",
];

/** Answers everything that is not a resource: health, version, discovery, OpenAPI, keys. */
export async function serveNonResource(call: Call, response: ServerResponse): Promise<void> {
  const { info: { path, method }, gateway } = call;
  if (method !== "GET" && method !== "HEAD") throw methodNotAllowed();
  const { registry, store } = gateway.core;
  const accept = call.request.headers.accept;
  if (/^\/(healthz|livez|readyz)(\/|$)/.test(path)) {
    if (call.info.query.has("verbose")) {
      return sendText(response, 200, `[+]ping ok\n[+]store ok\n${path.split("/")[1]} check passed\n`);
    }
    return sendText(response, 200, "ok");
  }
  if (path === "/version") return sendObject(response, 200, SERVER_VERSION);
  if (path === "/api" || path === "/apis") {
    const format = negotiate(accept, true);
    if (format.as === "APIGroupDiscoveryList") {
      const document = aggregatedDiscovery(registry, path === "/api", format.version!);
      return sendDiscovery(response, document, format.version!);
    }
    return sendObject(response, 200, path === "/api" ? apiVersions() : apiGroupList(registry), format);
  }
  const parts = path.slice(1).split("/");
  if (parts[0] === "api" && parts.length === 2) {
    return sendObject(response, 200, apiResourceList(registry, "", parts[1]), negotiate(accept));
  }
  if (parts[0] === "apis" && parts.length === 2) {
    return sendObject(response, 200, apiGroup(registry, parts[1]), negotiate(accept));
  }
  if (parts[0] === "apis" && parts.length === 3) {
    return sendObject(response, 200, apiResourceList(registry, parts[1], parts[2]), negotiate(accept));
  }
  if (path === "/openapi/v2" && accept?.includes(OPENAPI_V2_PROTOBUF)) {
    // As the API server answers: an "@" is not allowed in a media type.
    response.writeHead(200, { "content-type": OPENAPI_V2_PROTOBUF.replace("@", ".") }).end(openApiV2Protobuf());
    return;
  }
  if (path === "/openapi/v2") return sendObject(response, 200, openApiV2(registry));
  if (path === "/openapi/v3") return sendObject(response, 200, openApiV3Index(registry));
  if (path.startsWith("/openapi/v3/")) {
    const document = openApiV3(registry, path.slice("/openapi/v3/".length));
    if (!document) throw unknownPath();
    return sendObject(response, 200, document);
  }
  if (path === "/.well-known/openid-configuration") {
    return sendObject(response, 200, {
      issuer: ISSUER,
      jwks_uri: `${ISSUER}/openid/v1/jwks`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["ES256"],
    });
  }
  if (path === "/openid/v1/jwks") return sendObject(response, 200, gateway.tokens.jwks());
  if (path === "/metrics") {
    const lines = [
      "# HELP apiserver_storage_objects Number of stored objects.",
      "# TYPE apiserver_storage_objects gauge",
    ];
    for (const type of registry.all()) {
      if (!type.virtual) {
        lines.push(`apiserver_storage_objects{resource="${type.key.replace(/^\//, "")}"} ${store.count(type.key)}`);
      }
    }
    return sendText(response, 200, lines.join("\n") + "\n");
  }
  if (path === "/") {
    return sendObject(response, 200, {
      paths: [...ROOT_PATHS, ...registry.groups().map(({ group }) => `/apis/${group}`)].sort(),
    });
  }
  throw unknownPath();
}

/** Aggregated discovery names itself in its media type; kubectl falls back to the old form without it. */
function sendDiscovery(response: ServerResponse, document: unknown, version: string): void {
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  response.writeHead(200, {
    "Content-Type": `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
    "Content-Length": String(bytes.length),
    Vary: "Accept",
  });
  response.end(bytes);
}
