import { Buffer } from "node:buffer";
import { grpc } from "../../../identity/grpc.ts";
import type { ProgramContext } from "../program.ts";
import { type Call, serveUnary } from "./grpc.ts";
import { field, joined } from "./wire.ts";

const SERVICE = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho";

/** `EchoResponse{assertions{fully_qualified_method, headers, authority, context}}` */
function assertions(method: string, { authority, metadata }: Call, env: ProgramContext["env"]): Uint8Array {
  const headers = [[":authority", authority] as const, ...metadata];
  const context = ["NAMESPACE", "INGRESS_NAME", "SERVICE_NAME", "POD_NAME"].map((name, i) =>
    field(i + 1, env(name) ?? "")
  );
  return field(
    1,
    joined(
      field(1, method),
      ...headers.map(([name, value]) => field(2, joined(field(1, name), field(2, value)))),
      field(3, authority),
      field(4, joined(...context)),
    ),
  );
}

/** The service GrpcEcho of the conformance suite: `Echo` and `EchoTwo` tell what was called, `EchoThree` is not there on purpose. */
export async function serveGrpcEcho({ env, signal }: ProgramContext): Promise<number> {
  const method = (name: string) => (call: Call) => {
    console.log(`${name} called with authority ${JSON.stringify(call.authority)}`);
    return assertions(`${SERVICE}/${name}`, call, env);
  };
  const methods = { [`${SERVICE}/Echo`]: method("Echo"), [`${SERVICE}/EchoTwo`]: method("EchoTwo") };
  const servers = [
    serveUnary(Number(env("HTTP_PORT") || 3000), grpc.ServerCredentials.createInsecure(), methods, signal),
  ];
  const cert = env("TLS_SERVER_CERT"), key = env("TLS_SERVER_PRIVKEY");
  if (cert && key) {
    const pair = { cert_chain: Buffer.from(Deno.readFileSync(cert)), private_key: Buffer.from(Deno.readFileSync(key)) };
    servers.push(
      serveUnary(Number(env("HTTPS_PORT") || 8443), grpc.ServerCredentials.createSsl(null, [pair]), methods, signal),
    );
  }
  await Promise.all(servers);
  return 0;
}
