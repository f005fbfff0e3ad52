import type { IncomingMessage, ServerResponse } from "node:http";
import type { ApiError } from "../../api_error.ts";
import type { AnswerFormat } from "./negotiation.ts";

const WARNING_LIMIT = 20;

/** `Warning` headers as kubectl shows them (RFC 7234, code 299). */
function warningHeaders(warnings: string[]): string[] {
  return [...new Set(warnings)].slice(0, WARNING_LIMIT).map((text) => {
    // deno-lint-ignore no-control-regex
    const clean = text.replace(/[\x00-\x1f\x7f-\uffff]/g, " ").replaceAll("\\", "\\\\").replaceAll('"', '\\"');
    return `299 - "${clean.slice(0, 1000)}"`;
  });
}

/** Sends one JSON (or YAML) document. */
export async function sendObject(
  response: ServerResponse,
  code: number,
  value: unknown,
  format: AnswerFormat = { encoding: "json" },
  warnings: string[] = [],
): Promise<void> {
  const headers: Record<string, string | string[]> = { "Cache-Control": "no-cache, private" };
  if (warnings.length > 0) headers.Warning = warningHeaders(warnings);
  let body: string;
  if (format.encoding === "yaml") {
    const { stringify } = await import("yaml");
    body = stringify(JSON.parse(JSON.stringify(value)), { aliasDuplicateObjects: false });
    headers["Content-Type"] = "application/yaml";
  } else {
    body = JSON.stringify(value) + "\n";
    headers["Content-Type"] = "application/json";
  }
  const bytes = new TextEncoder().encode(body);
  response.writeHead(code, { ...headers, "Content-Length": String(bytes.length) });
  response.end(bytes);
}

export function sendText(response: ServerResponse, code: number, text: string): void {
  const bytes = new TextEncoder().encode(text);
  response.writeHead(code, {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Content-Length": String(bytes.length),
  });
  response.end(bytes);
}

/** Sends a failure as a `Status`. A body that nobody read ends the connection. */
export function sendError(response: ServerResponse, error: ApiError, request?: IncomingMessage): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const bytes = new TextEncoder().encode(JSON.stringify(error.toStatus()) + "\n");
  const headers: Record<string, string> = {
    "Cache-Control": "no-cache, private",
    "Content-Type": "application/json",
    "Content-Length": String(bytes.length),
  };
  if (error.code === 401) headers["WWW-Authenticate"] = 'Basic realm="kubernetes-master"';
  if (error.code === 429) headers["Retry-After"] = "10";
  if (request && !request.complete) headers.Connection = "close";
  response.writeHead(error.code, headers);
  response.end(bytes);
}
