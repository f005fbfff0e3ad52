// Header changes of routes and destinations: set, then add, then remove.

import { type HeaderChanges, UNCHANGEABLE_HEADERS } from "../../model/mod.ts";
import { type FieldName, fieldName, type Fields } from "../fields.ts";
import type { RequestRecord } from "../exchange/record.ts";
import type { RequestHead } from "../message.ts";
import { type CompiledFormat, compileFormat, formatHeaderValue } from "../telemetry/log_format.ts";

/** RFC 9110 token. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// deno-lint-ignore no-control-regex -- these are what a value must not have
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;

interface Change {
  readonly name: FieldName;
  readonly value: string;
  /** Set where the value has operators like `%REQ(X-USER)%` (Envoy's, as in access logs). */
  readonly format: CompiledFormat | null;
}

/**
 * The value and, where it has operators, its format; `%%` is a percent sign. Text with an operator that nobody knows, or a percent sign alone,
 * is what it says (Envoy would refuse its whole configuration); the route's status tells its author.
 */
function compileValue(text: string): { readonly value: string; readonly format: CompiledFormat | null } {
  if (!text.includes("%")) return { value: text, format: null };
  const format = compileFormat(text);
  if (format.unknown.length > 0) return { value: text, format: null };
  return format.operators.length > 0 ? { value: text, format } : { value: format.texts[0], format: null };
}

/** {@linkcode HeaderChanges} ready to be applied. */
export class CompiledHeaderChanges {
  readonly #set: Change[] = [];
  readonly #add: Change[] = [];
  readonly #remove: FieldName[] = [];
  #authority: string | null = null;
  /** Changes that are not done, with the reason; the role reports them. */
  readonly refused: string[] = [];

  constructor(changes: HeaderChanges) {
    for (const [name, value] of changes.set) this.#take(this.#set, name, value);
    for (const [name, value] of changes.add) this.#take(this.#add, name, value);
    for (const name of changes.remove) {
      const lower = name.toLowerCase();
      if (lower === "host" || lower === ":authority") this.refused.push(`"${name}" cannot be removed`);
      else if (this.#allowed(lower)) this.#remove.push(fieldName(lower));
    }
  }

  #take(list: Change[], name: string, value: string): void {
    const lower = name.toLowerCase();
    if (BAD_VALUE.test(value)) {
      this.refused.push(`the value of "${name}" has control characters`);
      return;
    }
    if (lower === "host" || lower === ":authority") this.#authority = value;
    else if (this.#allowed(lower)) list.push({ name: fieldName(lower), ...compileValue(value) });
  }

  #allowed(name: string): boolean {
    if (NAME.test(name) && !UNCHANGEABLE_HEADERS.has(name)) return true;
    this.refused.push(`"${name}" cannot be changed`);
    return false;
  }

  /** Changes a request on its way to the backend; `host` becomes its authority. */
  applyToRequest(head: RequestHead, record: RequestRecord): void {
    if (this.#authority !== null) head.authority = this.#authority;
    this.apply(head.fields, record);
  }

  apply(fields: Fields, record: RequestRecord): void {
    for (let i = 0; i < this.#set.length; i++) {
      const { name, value, format } = this.#set[i];
      const text = format === null ? value : formatHeaderValue(format, record);
      // Of what has no value nothing is said, and what the header was stays.
      if (text !== "" || format === null) fields.set(name, text);
    }
    for (let i = 0; i < this.#add.length; i++) {
      const { name, value, format } = this.#add[i];
      const text = format === null ? value : formatHeaderValue(format, record);
      if (text !== "" || format === null) fields.append(name, text);
    }
    for (let i = 0; i < this.#remove.length; i++) fields.remove(this.#remove[i]);
  }
}

/** null for nothing to change. */
export function compileHeaderChanges(changes: HeaderChanges | undefined): CompiledHeaderChanges | null {
  if (!changes || changes.set.length + changes.add.length + changes.remove.length === 0) return null;
  return new CompiledHeaderChanges(changes);
}
