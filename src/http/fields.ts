/** A header name known beforehand: interned, so that comparing is comparing numbers. Make them once, at load or configuration time. */
export class FieldName {
  constructor(readonly id: number, /** Lower case. */ readonly text: string) {}
}

const interned = new Map<string, FieldName>();

/** The interned name of a header, in any case. */
export function fieldName(name: string): FieldName {
  const text = name.toLowerCase();
  let known = interned.get(text);
  if (!known) interned.set(text, known = new FieldName(interned.size + 1, text));
  return known;
}

/** Header fields in order; names compare without case, values are Latin-1 text without control characters. */
export class Fields {
  readonly #names: FieldName[] = [];
  readonly #values: string[] = [];

  static of(...pairs: readonly (readonly [name: string, value: string])[]): Fields {
    const fields = new Fields();
    for (const [name, value] of pairs) fields.append(fieldName(name), value);
    return fields;
  }

  get size(): number {
    return this.#names.length;
  }

  nameAt(index: number): string {
    return this.#names[index].text;
  }

  valueAt(index: number): string {
    return this.#values[index];
  }

  /** The first value. */
  get(name: FieldName): string | undefined {
    const at = this.#names.indexOf(name);
    return at < 0 ? undefined : this.#values[at];
  }

  /** All values joined by commas (RFC 9110, 5.3). */
  joined(name: FieldName): string | undefined {
    let found: string | undefined;
    for (let i = 0; i < this.#names.length; i++) {
      if (this.#names[i] === name) found = found === undefined ? this.#values[i] : `${found},${this.#values[i]}`;
    }
    return found;
  }

  has(name: FieldName): boolean {
    return this.#names.includes(name);
  }

  /** Replaces all values, in the place of the first. */
  set(name: FieldName, value: string): void {
    const at = this.#names.indexOf(name);
    if (at < 0) return this.append(name, value);
    this.#values[at] = value;
    for (let i = this.#names.length - 1; i > at; i--) if (this.#names[i] === name) this.#removeAt(i);
  }

  append(name: FieldName, value: string): void {
    this.#names.push(name);
    this.#values.push(value);
  }

  remove(name: FieldName): void {
    for (let i = this.#names.length - 1; i >= 0; i--) if (this.#names[i] === name) this.#removeAt(i);
  }

  clone(): Fields {
    const copy = new Fields();
    for (let i = 0; i < this.#names.length; i++) copy.append(this.#names[i], this.#values[i]);
    return copy;
  }

  #removeAt(index: number): void {
    this.#names.splice(index, 1);
    this.#values.splice(index, 1);
  }
}
