/** What a conversion could not take over, for the status of the policy. */
export class Findings {
  /** HTTP attributes, which L4 cannot see. */
  readonly http = new Set<string>();
  /** How often one was met. */
  httpCount = 0;
  /** Values and fields that nobody can make sense of, with their place. */
  readonly unreadable: string[] = [];
  /** Rules left out (ALLOW). */
  omittedRules = 0;
  /** Constraints left out (DENY). */
  widened = false;
  /** A DENY rule that has become "everything". */
  deniesAll = false;

  httpAttribute(name: string): void {
    this.http.add(name);
    this.httpCount++;
  }

  /** Notes a value; long ones are cut, many are counted. */
  value(place: string, value: unknown): void {
    this.#note(`${place} ${JSON.stringify(value)?.slice(0, 80) ?? "undefined"}`);
  }

  field(place: string): void {
    this.#note(`unknown field ${place}`);
  }

  #note(text: string): void {
    const MAX = 8;
    if (this.unreadable.length < MAX) this.unreadable.push(text);
    else if (this.unreadable.length === MAX) this.unreadable.push("…");
  }

  get clean(): boolean {
    return this.http.size === 0 && this.unreadable.length === 0;
  }
}
