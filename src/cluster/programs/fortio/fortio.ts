import { echo } from "../echo.ts";
import type { Program } from "../program.ts";
import { parseFlags } from "./flags.ts";
import { load, requestOf } from "./load.ts";

const USAGE = `Usage: fortio <command> [flags] [target]

  load      call a URL: -c connections, -n calls (or -t time), -qps rate (0: as fast as can be)
  curl      one request, with its headers
  grpcping  unary gRPC calls to a fortio server: -n calls
  server    HTTP echo on 8080 and gRPC ping on 8079 (the default)
`;

/** The commands of fortio/fortio that tutorials use. */
export const fortio: Program = async (context) => {
  const [command = "server", ...args] = context.args;
  const flags = parseFlags(args);
  if ("problem" in flags || !["load", "curl", "grpcping", "server"].includes(command)) {
    console.error("problem" in flags ? flags.problem : `unknown command "${command}"`);
    console.error(USAGE);
    return 2;
  }
  const port = (name: string, fallback: number) => Number((flags.values.get(name) ?? "").split(":").at(-1)) || fallback;
  if (command === "server") {
    const { servePing } = await import("./ping.ts");
    const http = { ...context, args: ["--port", String(port("http-port", 8080))] };
    const codes = await Promise.all([echo(http), servePing(port("grpc-port", 8079), context.signal)]);
    return Math.max(...codes);
  }
  if (flags.rest.length !== 1) {
    console.error(`Error: need a url or target\n${USAGE}`);
    return 1;
  }
  if (command === "grpcping") return await (await import("./ping.ts")).grpcPing(flags);
  if (command === "load") return await load(flags, context.signal);
  const response = await fetch(flags.rest[0], requestOf(flags));
  console.log(`HTTP/1.1 ${response.status} ${response.statusText}`);
  for (const [name, value] of response.headers) console.log(`${name}: ${value}`);
  console.log(`\n${await response.text()}`);
  return response.ok ? 0 : 1;
};
