import { Buffer } from "node:buffer";
import { closeGrpc, grpc } from "../../../identity/grpc.ts";

type Bytes = Uint8Array;

/** A unary method whose messages stay bytes. */
export const unary = (path: string) => ({
  path,
  requestStream: false,
  responseStream: false,
  requestSerialize: (bytes: Bytes) => Buffer.from(bytes),
  requestDeserialize: (bytes: Bytes) => bytes,
  responseSerialize: (bytes: Bytes) => Buffer.from(bytes),
  responseDeserialize: (bytes: Bytes) => bytes,
});

/** What a method is told of a call. */
export interface Call {
  readonly request: Bytes;
  readonly authority: string;
  /** The peer's address without its port. */
  readonly peer: string;
  readonly metadata: readonly (readonly [string, string])[];
}

/** Serves unary methods until the signal, by path; others are answered UNIMPLEMENTED. */
export async function serveUnary(
  port: number,
  security: grpc.ServerCredentials,
  methods: Record<string, (call: Call) => Bytes>,
  signal: AbortSignal,
): Promise<void> {
  const server = new grpc.Server(), definition: Record<string, ReturnType<typeof unary>> = {};
  const implementation: Record<string, (call: any, answer: (error: Error | null, bytes: Bytes) => void) => void> = {};
  for (const [path, method] of Object.entries(methods)) {
    definition[path] = unary(path);
    implementation[path] = (call, answer) => {
      const metadata = (call.metadata as grpc.Metadata).toJSON();
      answer(
        null,
        method({
          request: call.request,
          authority: call.getHost?.() ?? "",
          peer: String(call.getPeer()).replace(/:\d+$/, ""),
          metadata: Object.entries(metadata).flatMap(([name, values]) =>
            values.map((value) => [name, String(value)] as const)
          ),
        }),
      );
    };
  }
  server.addService(definition as grpc.ServiceDefinition, implementation);
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`0.0.0.0:${port}`, security, (error) => error ? reject(error) : resolve())
  );
  console.log(`listening on port ${port} (grpc)`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await closeGrpc(server, 500);
}
