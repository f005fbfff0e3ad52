export type { KubeTarget } from "../../kube/target.ts";
