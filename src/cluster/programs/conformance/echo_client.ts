import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { grpc } from "../../../identity/grpc.ts";
import { goDuration } from "../fortio/flags.ts";
import type { Program } from "../program.ts";
import { ECHO_METHOD } from "./echo_advanced.ts";
import { unary } from "./grpc.ts";
import { canonicalName, field, pairsOf, textOf } from "./wire.ts";

// `client`, as the tests run it in the pods of echo-advanced: `client http://echo/path --method=GET -H name:value --count=10`.

interface Options {
  url: string;
  method: string;
  headers: [string, string][];
  count: number;
  timeoutMs: number;
  message: string;
}

const AT_ONCE = 10;
const USAGE = "usage: client URL [--method M] [-H name:value]... [--count N] [--timeout 5s] [--msg text]";

function readOptions(args: readonly string[]): Options | string {
  const options: Options = { url: "", method: "GET", headers: [], count: 1, timeoutMs: 5000, message: "HelloWorld" };
  for (let i = 0; i < args.length; i++) {
    if (!args[i].startsWith("-")) {
      if (options.url !== "") return USAGE;
      options.url = /^\w+:\/\//.test(args[i]) ? args[i] : `http://${args[i]}`;
      continue;
    }
    const [, name, joined] = /^--?([\w-]+)(?:=(.*))?$/s.exec(args[i]) ?? [];
    const value = joined ?? args[++i];
    if (value === undefined) return `flag needs an argument: ${args[i - 1]}`;
    if (name === "method") options.method = value || "GET";
    else if (name === "msg") options.message = value;
    else if (name === "count" && /^\d{1,6}$/.test(value)) options.count = Number(value);
    else if (name === "timeout" && goDuration(value) !== undefined) options.timeoutMs = goDuration(value)!;
    else if (name === "H" || name === "header") {
      const colon = value.indexOf(":");
      if (colon <= 0) return `invalid header format: ${JSON.stringify(value)} (want name:value)`;
      options.headers.push([value.slice(0, colon), value.slice(colon + 1).trim()]);
    } else return `unknown flag or value: ${args[i]}`;
  }
  return options.url === "" ? USAGE : options;
}

export const echoClient: Program = async ({ args }) => {
  const options = readOptions(args);
  if (typeof options === "string") {
    console.error(options);
    return 255;
  }
  const [, scheme, authority, path] = /^(\w+):\/\/([^/?]*)(.*)$/s.exec(options.url) ?? [];
  if (!["http", "https", "grpc"].includes(scheme)) {
    console.error(`no protocol handler found for ${JSON.stringify(scheme)}`);
    return 255;
  }
  const outputs: string[] = new Array(options.count);
  let next = 0, failure = "";
  const caller = scheme === "grpc" ? grpcCaller(authority, options) : undefined;
  const work = async () => {
    while (next < options.count && failure === "") {
      const id = next++;
      try {
        outputs[id] = caller ? await caller.call(id) : await httpCall(
          id,
          scheme === "https",
          authority,
          path === "" || path[0] === "?" ? `/${path}` : path,
          options,
        );
      } catch (error) {
        failure = error instanceof Error ? error.message : String(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, options.count) }, work));
  caller?.close();
  if (failure !== "") {
    console.error(`Error ${failure}`);
    return 255;
  }
  for (const output of outputs) console.log(output);
  return 0;
};

/** One line a fact, the answer's own lines marked as its body; ends with a newline, so that answers are an empty line apart. */
function report(id: number, facts: readonly (readonly [string, string])[], body: string): string {
  return facts.map(([name, value]) => `[${id}] ${name}=${value}\n`).join("") +
    body.split("\n").filter((line) => line !== "").map((line) => `[${id} body] ${line}\n`).join("");
}

function httpCall(id: number, secure: boolean, authority: string, path: string, options: Options): Promise<string> {
  const { hostname, port } = new URL(`http://${authority}`),
    host = options.headers.find(([name]) => /^host$/i.test(name));
  const sent = options.headers.filter((header) => header !== host);
  const headers: string[] = ["Host", host?.[1] ?? authority, ...sent.flat(), "Connection", "close"];
  return new Promise((resolve, reject) => {
    const send = secure ? httpsRequest : httpRequest;
    const request = send({
      host: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port || (secure ? 443 : 80)),
      path,
      method: options.method,
      headers: headers as never,
      agent: false,
      rejectUnauthorized: false,
      timeout: options.timeoutMs,
    } as never, (response: IncomingMessage) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => body += text);
      response.on("error", reject);
      response.on("end", () => {
        const answered = [...pairsOf(response.rawHeaders)].map(([name, value]) =>
          ["ResponseHeader", `${canonicalName(name)}:${value}`] as const
        );
        const facts = [
          ["Url", options.url],
          ...options.headers.map(([name, value]) => ["Header", `${name}:${value}`] as const),
          ["StatusCode", String(response.statusCode)],
          ...answered.sort(([, a], [, b]) => a < b ? -1 : 1),
        ] as const;
        resolve(report(id, facts, body));
      });
    });
    request.on("timeout", () => request.destroy(new Error("timed out")));
    request.on("error", reject);
    request.end();
  });
}

function grpcCaller(authority: string, options: Options): { call(id: number): Promise<string>; close(): void } {
  const method = unary(ECHO_METHOD), metadata = new grpc.Metadata();
  for (const [name, value] of options.headers) metadata.add(name.toLowerCase(), value);
  const Client = grpc.makeGenericClientConstructor({ echo: method }, "EchoTestService");
  const client = new Client(authority, grpc.credentials.createInsecure());
  return {
    call: (id) =>
      new Promise((resolve, reject) => {
        const message = field(1, options.message), deadline = Date.now() + options.timeoutMs;
        client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          message,
          metadata,
          { deadline },
          (error: Error | null, answer?: Uint8Array) => {
            if (error || !answer) return reject(error ?? new Error("no answer"));
            const facts = options.headers.map(([name, value]) => ["Header", `${name}:${value}`] as const);
            resolve(report(id, [["Url", options.url], ...facts, ["Echo", options.message]], textOf(answer, 1)));
          },
        );
      }),
    close: () => client.close(),
  };
}
