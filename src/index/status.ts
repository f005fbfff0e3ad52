/** A condition of an object's status, as istiod writes it (istiod-behaviour.md §5). */
export interface StatusCondition {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

/** A condition to be written to one object. */
export interface StatusReport {
  readonly kind: "AuthorizationPolicy" | "Service" | "ServiceEntry" | "WorkloadEntry";
  readonly namespace: string;
  readonly name: string;
  /** Generation of the object that the condition is about. */
  readonly generation: number;
  /** Who writes, in managedFields. */
  readonly fieldManager: string;
  readonly condition: StatusCondition;
}
