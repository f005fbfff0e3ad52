import llhttpWasm from "undici/lib/llhttp/llhttp-wasm.js";

/** A message as llhttp reads it. */
export interface LlhttpMessage {
  method: string;
  status: number;
  target: string;
  /** Names in lower case, values without white space around. */
  fields: [string, string][];
  /** Bytes as characters. */
  body: string;
  complete: boolean;
}

export interface LlhttpResult {
  messages: LlhttpMessage[];
  /** `HPE_INVALID_…`, or "" when all was well. */
  error: string;
}

const REQUEST = 1, RESPONSE = 2;

interface Exports {
  memory: WebAssembly.Memory;
  _initialize(): void;
  llhttp_alloc(type: number): number;
  llhttp_free(parser: number): void;
  llhttp_execute(parser: number, at: number, length: number): number;
  llhttp_finish(parser: number): number;
  llhttp_get_method(parser: number): number;
  llhttp_method_name(method: number): number;
  llhttp_errno_name(error: number): number;
  malloc(bytes: number): number;
  free(at: number): void;
}

/** The parser of node and undici, from undici's wasm: a second opinion on HTTP/1. */
class Llhttp {
  readonly #exports: Exports;
  #messages: LlhttpMessage[] = [];
  #name = "";
  #value = "";
  #skipBody = false;

  constructor(wasm: BufferSource) {
    const text = (at: number, length: number) => latin1(new Uint8Array(this.#exports.memory.buffer, at, length));
    const last = () => this.#messages[this.#messages.length - 1];
    const env = {
      wasm_on_message_begin: () => {
        this.#messages.push({ method: "", status: 0, target: "", fields: [], body: "", complete: false });
        return 0;
      },
      wasm_on_url: (_: number, at: number, length: number) => {
        last().target += text(at, length);
        return 0;
      },
      wasm_on_status: () => 0,
      wasm_on_header_field: (_: number, at: number, length: number) => {
        if (this.#value !== "" || this.#ended) this.#field();
        this.#name += text(at, length);
        return 0;
      },
      wasm_on_header_value: (_: number, at: number, length: number) => {
        this.#ended = true;
        this.#value += text(at, length);
        return 0;
      },
      wasm_on_headers_complete: (parser: number, status: number) => {
        this.#field();
        last().status = status;
        if (status === 0) {
          last().method = this.#string(this.#exports.llhttp_method_name(this.#exports.llhttp_get_method(parser)));
        }
        return this.#skipBody ? 1 : 0;
      },
      wasm_on_body: (_: number, at: number, length: number) => {
        last().body += text(at, length);
        return 0;
      },
      wasm_on_message_complete: () => {
        // Trailers are not what is compared.
        this.#name = this.#value = "";
        this.#ended = false;
        last().complete = true;
        return 0;
      },
    };
    this.#exports = new WebAssembly.Instance(new WebAssembly.Module(wasm), { env }).exports as unknown as Exports;
    this.#exports._initialize();
  }

  #ended = false;

  #field(): void {
    if (this.#name !== "") {
      this.#messages[this.#messages.length - 1].fields.push([this.#name.toLowerCase(), trim(this.#value)]);
    }
    this.#name = this.#value = "";
    this.#ended = false;
  }

  #string(at: number): string {
    const bytes = new Uint8Array(this.#exports.memory.buffer);
    let end = at;
    while (bytes[end] !== 0) end++;
    return latin1(bytes.subarray(at, end));
  }

  /** Reads bytes as requests or as responses; `ended`: nothing follows. */
  read(kind: "request" | "response", bytes: Uint8Array, ended: boolean, skipBody = false): LlhttpResult {
    const wasm = this.#exports;
    this.#messages = [];
    this.#name = this.#value = "";
    this.#ended = false;
    this.#skipBody = skipBody;
    const parser = wasm.llhttp_alloc(kind === "request" ? REQUEST : RESPONSE);
    const at = wasm.malloc(bytes.length);
    new Uint8Array(wasm.memory.buffer).set(bytes, at);
    let code = wasm.llhttp_execute(parser, at, bytes.length);
    if (code === 0 && ended) code = wasm.llhttp_finish(parser);
    const error = code === 0 ? "" : this.#string(wasm.llhttp_errno_name(code));
    wasm.free(at);
    wasm.llhttp_free(parser);
    return { messages: this.#messages, error };
  }
}

function trim(value: string): string {
  return value.replace(/^[ \t]+|[ \t]+$/g, "");
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

export const llhttp = new Llhttp(llhttpWasm as unknown as BufferSource);
