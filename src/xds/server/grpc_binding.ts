// AggregatedDiscoveryService over grpc-js.

import { create } from "@bufbuild/protobuf";
import { describeError } from "../../core/errors.ts";
import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  type DiscoveryRequest,
  DiscoveryResponseSchema,
} from "../../gen/envoy/service/discovery/v3/discovery_pb.ts";
import { authenticate, type Authenticator } from "../../identity/authenticate.ts";
import { callContext, Encoded, grpc, grpcError, grpcService } from "../../identity/grpc.ts";
import type { Caller } from "../../identity/types.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { TYPE_URL } from "../types.ts";
import type { CloseReason } from "./connection.ts";
import { readNode } from "./node.ts";
import type { DebugHandler, DiscoveryServer } from "./server.ts";

export interface XdsServiceOptions {
  readonly discovery: DiscoveryServer;
  readonly logger: Logger;
  /** How callers are recognised (15012); undefined accepts everyone without identity (15010). */
  readonly authenticators?: readonly Authenticator[];
  /** Answers debug types on the state-of-the-world stream that istioctl uses. */
  readonly debug?: DebugHandler;
  /** Sent as the control plane's identifier on that stream. */
  readonly controlPlane?: string;
}

const STATUS: Record<CloseReason, grpc.status> = {
  invalid_argument: grpc.status.INVALID_ARGUMENT,
  permission_denied: grpc.status.PERMISSION_DENIED,
  resource_exhausted: grpc.status.RESOURCE_EXHAUSTED,
  unavailable: grpc.status.UNAVAILABLE,
};

type Stream<Request> = grpc.ServerDuplexStream<Request, Encoded>;

/** Adds xDS to a gRPC server. */
export function addXdsService(server: grpc.Server, options: XdsServiceOptions): void {
  server.addService(grpcService(AggregatedDiscoveryService), {
    DeltaAggregatedResources: (call: Stream<DeltaDiscoveryRequest>) => {
      accept(call, options, (caller) => serveDelta(call, options, caller));
    },
    StreamAggregatedResources: (call: Stream<DiscoveryRequest>) => {
      accept(call, options, (caller) => serveDebug(call, options, caller));
    },
  });
}

/** Starts a stream once its caller is known. Requests wait in the stream meanwhile, as nothing reads them. */
function accept(call: Stream<any>, options: XdsServiceOptions, serve: (caller: Caller | undefined) => void): void {
  let over = false;
  // A reset by the client arrives as an error event, which would end the process unheard.
  call.on("error", (error: Error) => options.logger.debug("stream failed", { error: describeError(error) }));
  call.on("cancelled", () => over = true);
  if (!options.authenticators) return serve(undefined);
  authenticate(options.authenticators, callContext(call), options.logger).then((caller) => {
    if (over) return;
    if (caller) serve(caller);
    else call.emit("error", grpcError(grpc.status.UNAUTHENTICATED, "authentication failure"));
  });
}

function serveDelta(
  call: Stream<DeltaDiscoveryRequest>,
  { discovery }: XdsServiceOptions,
  caller: Caller | undefined,
): void {
  const connection = discovery.open({
    send: (response, sent) => call.write(new Encoded(response), () => sent()),
    close: (reason, message) => call.emit("error", grpcError(STATUS[reason], message)),
  }, { caller, address: call.getPeer() });
  call.on("cancelled", () => connection.ended());
  call.on("error", () => connection.ended());
  call.on("end", () => {
    connection.ended();
    call.end();
  });
  call.on("data", (request: DeltaDiscoveryRequest) => connection.receive(request));
}

/** The state-of-the-world stream exists for debug questions only: proxies speak delta. */
function serveDebug(call: Stream<DiscoveryRequest>, options: XdsServiceOptions, caller: Caller | undefined): void {
  const fail = (code: grpc.status, details: string) => call.emit("error", grpcError(code, details));
  let nonces = 0;
  call.on("end", () => call.end());
  call.on("data", (request: DiscoveryRequest) => {
    const { typeUrl } = request;
    if (typeUrl !== TYPE_URL.debug && !typeUrl.startsWith(`${TYPE_URL.debug}/`)) {
      return fail(
        grpc.status.UNIMPLEMENTED,
        "state-of-the-world xDS serves debug types only; use DeltaAggregatedResources",
      );
    }
    if (request.responseNonce !== "") return;
    const client = readNode(request.node, caller, call.getPeer());
    if (typeof client === "string") return fail(grpc.status.INVALID_ARGUMENT, client);
    if (!options.debug) return fail(grpc.status.UNIMPLEMENTED, "no debug information is served here");
    options.debug(typeUrl, request.resourceNames, client).then((resources) => {
      const response = create(DiscoveryResponseSchema, {
        typeUrl,
        nonce: String(++nonces),
        resources: resources.map((resource) => ({ typeUrl: resource.typeUrl ?? typeUrl, value: resource.bytes })),
        controlPlane: options.controlPlane ? { identifier: options.controlPlane } : undefined,
      });
      call.write(response as never);
    }, (cause) => fail(grpc.status.INTERNAL, describeError(cause)));
  });
}
