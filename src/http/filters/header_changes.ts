// Header changes of routes and destinations: set, then add, then remove.

import type { HeaderChanges } from "../../model/mod.ts";
import { type FieldName, fieldName, type Fields } from "../fields.ts";
import type { RequestHead } from "../message.ts";

/** Names that only concern one connection, or frame the message: changing them would break it. */
const UNCHANGEABLE = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** RFC 9110 token. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// deno-lint-ignore no-control-regex -- these are what a value must not have
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;

interface Change {
  readonly name: FieldName;
  readonly value: string;
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
    else if (this.#allowed(lower)) list.push({ name: fieldName(lower), value });
  }

  #allowed(name: string): boolean {
    if (NAME.test(name) && !UNCHANGEABLE.has(name)) return true;
    this.refused.push(`"${name}" cannot be changed`);
    return false;
  }

  /** Changes a request on its way to the backend; `host` becomes its authority. */
  applyToRequest(head: RequestHead): void {
    if (this.#authority !== null) head.authority = this.#authority;
    this.apply(head.fields);
  }

  apply(fields: Fields): void {
    for (let i = 0; i < this.#set.length; i++) fields.set(this.#set[i].name, this.#set[i].value);
    for (let i = 0; i < this.#add.length; i++) fields.append(this.#add[i].name, this.#add[i].value);
    for (let i = 0; i < this.#remove.length; i++) fields.remove(this.#remove[i]);
  }
}

/** null for nothing to change. */
export function compileHeaderChanges(changes: HeaderChanges | undefined): CompiledHeaderChanges | null {
  if (!changes || changes.set.length + changes.add.length + changes.remove.length === 0) return null;
  return new CompiledHeaderChanges(changes);
}
