/** What an entry counts beyond its name and value (RFC 7541, 4.1). */
export const ENTRY_OVERHEAD = 32;

/**
 * The dynamic table: a ring of entries, newest first, whose sizes add up to no more than its capacity. Strings hold one
 * byte (0 to 255) in each character, so that lengths are those on the wire.
 */
export class DynamicTable {
  #names: string[] = new Array(16).fill("");
  #values: string[] = new Array(16).fill("");
  #mask = 15;
  /** Entries ever added; the newest has the id `added`. */
  #added = 0;
  #count = 0;
  #size = 0;
  #capacity: number;
  readonly #onEvict?: (name: string, value: string, id: number) => void;

  constructor(capacity: number, onEvict?: (name: string, value: string, id: number) => void) {
    this.#capacity = capacity;
    this.#onEvict = onEvict;
  }

  get length(): number {
    return this.#count;
  }

  /** Bytes as RFC 7541, 4.1 counts them. */
  get size(): number {
    return this.#size;
  }

  get capacity(): number {
    return this.#capacity;
  }

  /** Id of the newest entry; entry `id` stands at position `newestId - id`. */
  get newestId(): number {
    return this.#added;
  }

  /** Name of the entry at `position`, 0 being the newest; the caller has checked it against `length`. */
  name(position: number): string {
    return this.#names[(this.#added - position) & this.#mask];
  }

  value(position: number): string {
    return this.#values[(this.#added - position) & this.#mask];
  }

  setCapacity(capacity: number): void {
    this.#capacity = capacity;
    this.#evictTo(capacity);
  }

  /** Adds an entry in front; one larger than the table empties it and is not kept, which is no error (4.4). */
  add(name: string, value: string): void {
    const size = name.length + value.length + ENTRY_OVERHEAD;
    this.#evictTo(Math.max(0, this.#capacity - size));
    if (size > this.#capacity) return;
    if (this.#count > this.#mask) this.#grow();
    const slot = ++this.#added & this.#mask;
    this.#names[slot] = name;
    this.#values[slot] = value;
    this.#count++;
    this.#size += size;
  }

  #evictTo(size: number): void {
    while (this.#size > size) {
      const id = this.#added - this.#count + 1;
      const slot = id & this.#mask;
      const name = this.#names[slot];
      const value = this.#values[slot];
      this.#names[slot] = this.#values[slot] = "";
      this.#size -= name.length + value.length + ENTRY_OVERHEAD;
      this.#count--;
      this.#onEvict?.(name, value, id);
    }
  }

  #grow(): void {
    const length = (this.#mask + 1) * 2;
    const names: string[] = new Array(length).fill("");
    const values: string[] = new Array(length).fill("");
    for (let id = this.#added - this.#count + 1; id <= this.#added; id++) {
      names[id & (length - 1)] = this.#names[id & this.#mask];
      values[id & (length - 1)] = this.#values[id & this.#mask];
    }
    this.#names = names;
    this.#values = values;
    this.#mask = length - 1;
  }
}
