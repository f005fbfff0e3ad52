/** The named tasks that must be done before a role reports ready (Istio's `/healthz/ready`). */
export class Readiness {
  readonly #pending = new Set<string>();

  /** Adds a task that is not done yet; call the result when it is. A task may become pending again. */
  register(task: string): () => void {
    this.#pending.add(task);
    return () => this.#pending.delete(task);
  }

  /** Marks a task as not done (again), or as done. */
  set(task: string, done: boolean): void {
    if (done) this.#pending.delete(task);
    else this.#pending.add(task);
  }

  get ready(): boolean {
    return this.#pending.size === 0;
  }

  /** Names of what is not done, sorted. */
  pending(): string[] {
    return [...this.#pending].sort();
  }
}
