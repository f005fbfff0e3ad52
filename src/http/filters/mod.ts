/** What happens to requests and responses on their way: pure changes of heads, and the answers that need no backend. */
export { CompiledCors, CorsOutcome } from "./cors.ts";
export { drawAbort, drawDelay, drawShare, MILLION } from "./fault.ts";
export {
  applyForwarding,
  type ForwardingFacts,
  isPrivate,
  trustedClient,
  X_FORWARDED_CLIENT_CERT,
  X_FORWARDED_FOR,
  X_FORWARDED_PROTO,
  X_REQUEST_ID,
} from "./forwarded.ts";
export {
  CONTENT_TYPE,
  encodeGrpcMessage,
  GRPC_MESSAGE,
  GRPC_STATUS,
  grpcStatusOf,
  httpStatusOf,
  isGrpc,
} from "./grpc.ts";
export { CompiledHeaderChanges, compileHeaderChanges } from "./header_changes.ts";
export { normalizePath } from "./normalize_path.ts";
export { httpsLocation, type RedirectFacts, redirectLocation } from "./redirect.ts";
export { randomHex, randomUuid } from "./request_id.ts";
export { CompiledRewrite, replacePath } from "./rewrite.ts";
